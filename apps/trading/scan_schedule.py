"""Who scans what and when: every cycle each active target, by a few online nodes of every region, one after another.

What is asked for is a row before it is sent, so that a restart asks neither twice nor never. In a replay nobody scans.
All times are the wall's.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from redis.exceptions import RedisError

from apps.core import parameters, platform_keys
from apps.operators.models import Node
from apps.pool import broker
from apps.trading import targets
from apps.trading.market_time import clock
from apps.trading.models import ScanRun, ScanTarget, Source
from workers.protocol.envelope import sign_envelope
from workers.protocol.ids import new_id
from workers.protocol.keylist import PLATFORM

LANE = "scan"
ORDER = "scan.run"
METHOD = "udp"
TTL_S = 300
MOST_AT_ONCE = 500


def cycle_of(now: datetime) -> datetime:
    """The beginning of the cycle that `now` lies in."""
    interval = parameters.get("scans.interval_s")
    return datetime.fromtimestamp(int(now.timestamp()) // interval * interval, UTC)


def run(now: datetime) -> int:
    """Plan the present cycle where that was not done yet, and send what is due; returns how many were sent."""
    if clock().source == Source.REPLAY:
        return 0
    targets.ensure()
    plan(now)
    return send_due(now)


def plan(now: datetime) -> int:
    """Rows for the present cycle; returns how many are new. Nodes that come online within it are asked in the next."""
    cycle = cycle_of(now)
    if ScanRun.objects.filter(cycle_at=cycle).exists():
        return 0
    nodes = list(Node.objects.online().select_related("operator").order_by("pk"))
    watched = list(ScanTarget.objects.filter(active=True).order_by("host"))
    return len(ScanRun.objects.bulk_create(planned(watched, nodes, cycle, now), ignore_conflicts=True))


def planned(watched: Iterable[ScanTarget], nodes: Iterable[Node], cycle: datetime, now: datetime) -> list[ScanRun]:
    """The runs of a cycle: each target by some nodes of each region, each node's at intervals, spread over regions."""
    regions: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        if int(node.lanes.get(LANE, 1)) > 0:
            regions[node.operator.region].append(node)
    most, stagger = parameters.get("scans.nodes_per_region"), parameters.get("scans.stagger_s")
    asked: dict[str, int] = defaultdict(int)
    runs = []
    for target in watched:
        for region in sorted(regions):
            for node in chosen(target.host, regions[region], most):
                wait = offset_s(node.pk, stagger) + stagger * asked[node.pk]
                asked[node.pk] += 1
                runs.append(
                    ScanRun(
                        id=new_id("scn", now),
                        target=target,
                        node=node,
                        method=METHOD,
                        cycle_at=cycle,
                        due_at=cycle + timedelta(seconds=wait),
                    )
                )
    return runs


def chosen(host: str, nodes: list[Node], most: int) -> list[Node]:
    """The nodes that scan a host, the same ones in every cycle as long as they are there: a series needs one vantage.

    By the highest hash of (host, node), so that hosts are spread over nodes and few change when one comes or goes.
    """
    return sorted(nodes, key=lambda node: sha256(f"{host} {node.pk}".encode()).digest())[:most]


def offset_s(node_id: str, stagger: int) -> float:
    """Where within the first interval a node begins, so that not all begin at once."""
    return stagger * int.from_bytes(sha256(node_id.encode()).digest()[:2], "big") / 2**16


def send_due(now: datetime) -> int:
    """Send the runs that are due; one that could not be sent is tried again until its cycle is over."""
    interval = timedelta(seconds=parameters.get("scans.interval_s"))
    due = ScanRun.objects.filter(sent_at=None, due_at__lte=now, cycle_at__gt=now - interval)
    runs = list(due.select_related("target").order_by("due_at", "pk")[:MOST_AT_ONCE])
    sent = 0
    for run_ in runs:
        # Whoever moves the row sends it: two schedulers do not ask twice.
        if ScanRun.objects.filter(pk=run_.pk, sent_at=None).update(sent_at=now) != 1:
            continue
        try:
            broker.publish(run_.node_id, LANE, order(run_, now))
        except RedisError:
            ScanRun.objects.filter(pk=run_.pk, answered_at=None).update(sent_at=None)
            break
        sent += 1
    return sent


def order(run_: ScanRun, now: datetime) -> dict[str, Any]:
    """The signed envelope that asks a node for one scan."""
    body = {
        "scan": run_.pk,
        "host": run_.target.host,
        "method": run_.method,
        "max_hops": parameters.get("scans.max_hops"),
    }
    return sign_envelope(
        ORDER,
        body,
        key=platform_keys.signing_key(),
        net=platform_keys.network_id(),
        sender=PLATFORM,
        to=run_.node_id,
        now=now,
        ttl_s=TTL_S,
    )
