"""Measured paths: checked, stored once, and never changed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

from django.db import transaction

from apps.core import events, parameters
from apps.operators.models import Node
from apps.trading import targets
from apps.trading.models import Scan, ScanRun, ScanTarget, Source
from apps.trading.scan_errors import (
    HopsInvalid,
    MethodUnknown,
    RttInvalid,
    ScanDiffers,
    ScanForged,
    ScanFromFuture,
    ScanNotAsked,
    ScanTooOld,
    TargetUnknown,
)
from workers.protocol.clock import from_unix_ms, unix_ms
from workers.protocol.envelope import Envelope
from workers.protocol.ids import new_id

METHODS = ("udp", "icmp")
MOST_HOPS = 64
LONGEST_RTT_MS = 60_000.0
MASKED_PLACES = 3
RESULT = "scan.result"
RESULT_FIELDS = {"scan", "host", "method", "address", "measured_at", "hops", "total_rtt_ms", "error"}
HOP_FIELDS = {"hop", "ip", "rtt_ms", "masked"}
LAST_MS = 4_102_444_800_000  # the year 2100


@dataclass(frozen=True)
class ScanReport:
    """A path as somebody measured it; hops as rows of `Scan.hops`, times in ms, None where nobody answered."""

    host: str
    vantage: str
    region: str
    measured_at: datetime
    hops: Sequence[Mapping[str, Any]]
    total_rtt_ms: float | None
    method: str = "udp"
    recording: str = ""


@dataclass(frozen=True)
class Origin:
    """Where a report came from: the node and its signed envelope, and the id that the scan was asked for by."""

    node: Node | None = None
    envelope: dict[str, Any] | None = None
    scan_id: str | None = None


NOWHERE = Origin()


def ingest(
    report: ScanReport, source: str, now: datetime, node: Node | None = None, origin: Origin | None = None
) -> Scan:
    """Store a scan; the same one again is the same row. Raises ScanRefused. `now` is the clock it was measured by."""
    origin = origin or (Origin(node) if node else NOWHERE)
    target = targets.find(report.host)
    if target is None:
        raise TargetUnknown(f"{report.host[:100]} is not watched.")
    _check_time(report.measured_at, now)
    if report.method not in METHODS:
        raise MethodUnknown
    hops = _hops(report.hops)
    if source != Source.REPLAY:
        hops = masked(hops)
    total = _total(report.total_rtt_ms, hops)
    return _store(target, report, source, (hops, total), origin, now)


@transaction.atomic
def _store(
    target: ScanTarget,
    report: ScanReport,
    source: str,
    path: tuple[list[dict[str, Any]], float | None],
    origin: Origin,
    now: datetime,
) -> Scan:
    hops, total = path
    scan, created = Scan.objects.get_or_create(
        target=target,
        vantage=report.vantage,
        method=report.method,
        measured_at=report.measured_at,
        defaults={
            "id": origin.scan_id or new_id("scn", now),
            "source": source,
            "node": origin.node,
            "region": report.region,
            "received_at": now,
            "total_rtt_ms": total,
            "hops": hops,
            "route_sha256": route_hash(hops),
            "recording": report.recording,
            "envelope": origin.envelope,
        },
    )
    if not created:
        if (scan.hops, scan.total_rtt_ms, scan.source) != (hops, total, source):
            raise ScanDiffers
        return scan
    data = {"host": target.host, "vantage": scan.vantage, "total_rtt_ms": total, "source": source}
    events.emit("scan.stored", subject=scan.pk, topics=["scans"], data=data, now=now)
    return scan


def _check_time(measured_at: datetime, now: datetime) -> None:
    ahead, age = parameters.get("scans.max_ahead_s"), parameters.get("scans.max_age_s")
    if measured_at > now + timedelta(seconds=ahead):
        raise ScanFromFuture
    if measured_at < now - timedelta(seconds=age):
        raise ScanTooOld(f"A scan is at most {age} s old.")


def _rtt(value: Any) -> float | None:
    """A time in ms; raises RttInvalid for what no path can have."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RttInvalid
    if not math.isfinite(value) or not 0 <= value <= LONGEST_RTT_MS:
        raise RttInvalid
    return float(value)


def _hops(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The hops in order; raises HopsInvalid or RttInvalid."""
    if len(given) > MOST_HOPS:
        raise HopsInvalid(f"A path has at most {MOST_HOPS} hops.")
    hops = [_hop(hop) for hop in given]
    places = [hop["hop"] for hop in hops]
    if len(set(places)) != len(places):
        raise HopsInvalid("A place of the path stands twice.")
    return sorted(hops, key=lambda hop: int(hop["hop"]))


def _hop(hop: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(hop, Mapping) or set(hop) - HOP_FIELDS:
        raise HopsInvalid(f"A hop has {', '.join(sorted(HOP_FIELDS))}.")
    place, address, hidden = hop.get("hop"), hop.get("ip"), hop.get("masked", False)
    if isinstance(place, bool) or not isinstance(place, int) or not 1 <= place <= MOST_HOPS:
        raise HopsInvalid(f"A hop's place is 1 to {MOST_HOPS}.")
    if not isinstance(hidden, bool) or not (address is None or isinstance(address, str)):
        raise HopsInvalid
    if address is not None:
        try:
            address = str(ip_address(address))
        except ValueError as error:
            raise HopsInvalid("A hop's ip is an address or null.") from error
    return {"hop": place, "ip": address, "rtt_ms": _rtt(hop.get("rtt_ms")), "masked": hidden}


def _total(given: float | None, hops: list[dict[str, Any]]) -> float | None:
    """The time of the last hop that answered; a report may leave it out, but not say otherwise."""
    said = _rtt(given)
    timed = [hop["rtt_ms"] for hop in hops if hop["rtt_ms"] is not None]
    if not timed:
        return said
    if said is not None and not math.isclose(said, timed[-1], abs_tol=0.001):
        raise RttInvalid("The total is the time of the last hop that answered.")
    return float(timed[-1])


def masked(hops: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Hide who stands near the one who measured: the first places, and every private address; times stay.

    The end of the path is the host itself, which is no secret however near it is, unless it is private.
    """
    shown = []
    for index, hop in enumerate(hops):
        address = hop["ip"]
        near = hop["hop"] <= MASKED_PLACES and index < len(hops) - 1
        hide = address is not None and (near or not ip_address(address).is_global)
        shown.append({**hop, "ip": None, "masked": True} if hide else hop)
    return shown


def route_hash(hops: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 of the addresses in order, silent ones as `*`; empty where no address is known."""
    if not any(hop["ip"] for hop in hops):
        return ""
    return sha256("|".join(hop["ip"] or "*" for hop in hops).encode()).hexdigest()


def ingest_node(envelope: Envelope, node: Node, now: datetime) -> Scan | None:
    """Store what a node signed, once, and have the detectors look at it; None where the scan failed on the node.

    `envelope` was opened: its signature and sender are right. The scan must be one that this very node was asked for.
    Raises ScanRefused.
    """
    body = envelope.body
    if envelope.kind != RESULT or envelope.sender != node.pk or set(body) != RESULT_FIELDS:
        raise ScanForged("The message is no result of a scan by this node.")
    run = ScanRun.objects.select_related("target").filter(pk=str(body["scan"])).first()
    if run is None:
        raise ScanNotAsked
    if run.node_id != node.pk or run.target.host != body["host"] or run.method != body["method"]:
        raise ScanForged
    if body["error"] is not None:
        _failed(run, body["error"], now)
        return None
    report = ScanReport(
        host=run.target.host,
        vantage=node.pk,
        region=node.operator.region,
        measured_at=_moment(body["measured_at"], run),
        hops=[_from_text(hop) for hop in body["hops"]] if isinstance(body["hops"], list) else _no_hops(),
        total_rtt_ms=_number(body["total_rtt_ms"]),
        method=run.method,
    )
    with transaction.atomic():
        # One answer for one run: a second one has to be the same, and then changes nothing.
        run = ScanRun.objects.select_for_update().get(pk=run.pk)
        earlier = Scan.objects.filter(pk=run.pk).first()
        if earlier is not None and earlier.measured_at != report.measured_at:
            raise ScanDiffers
        scan = ingest(report, Source.LIVE, now, origin=Origin(node, envelope.raw, run.pk))
        if run.answered_at is None:
            ScanRun.objects.filter(pk=run.pk).update(answered_at=now, error="")
            transaction.on_commit(partial(look, scan.pk), robust=True)
    return scan


def look(scan_id: str) -> None:
    """Tell the detectors; a lost word is made good by the sweep."""
    from apps.trading.tasks_scans import detect

    detect.delay(scan_id)


def _failed(run: ScanRun, error: Any, now: datetime) -> None:
    told = error if isinstance(error, Mapping) else {}
    words = f"{told.get('code', 'scan_failed')}: {told.get('detail', '')}"[:300]
    ScanRun.objects.filter(pk=run.pk, answered_at=None).update(answered_at=now, error=words)


def _moment(value: Any, run: ScanRun) -> datetime:
    """A node's unix ms; a scan cannot be older than the wish for it, but for what clocks differ."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < LAST_MS:
        raise ScanTooOld("measured_at is unix time in ms.")
    ahead = parameters.get("scans.max_ahead_s")
    if run.sent_at is not None and value < unix_ms(run.sent_at) - 1000 * ahead:
        raise ScanTooOld("The scan was measured before it was asked for.")
    return from_unix_ms(value)


def _from_text(hop: Any) -> dict[str, Any]:
    """A hop of a signed body, whose times are decimal text."""
    if not isinstance(hop, Mapping):
        raise HopsInvalid
    return {**hop, "rtt_ms": _number(hop.get("rtt_ms"))}


def _no_hops() -> list[dict[str, Any]]:
    raise HopsInvalid("hops is a list.")


def _number(value: Any) -> float | None:
    """Decimal text of a signed body as ms."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 20:
        raise RttInvalid("A signed time is decimal text.")
    try:
        return float(value)
    except ValueError as error:
        raise RttInvalid from error
