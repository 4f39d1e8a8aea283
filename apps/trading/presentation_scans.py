"""What the pages of scans show: targets with their series, the last path hop by hop, and changes of the route."""

import itertools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from importlib import resources
from typing import Any

from django.db.models import Count, Max, Q, QuerySet
from django.utils.translation import gettext as _

from apps.trading.models import Scan, ScanTarget, SignalKind
from apps.trading.presentation import Filter, Listing, Market, filters, listing, percent, used

WINDOW = timedelta(hours=24)
SPARK_POINTS = 60
SPARK_WIDTH, SPARK_HEIGHT = 120, 24
SERIES = 300
COMPARED = 100
SHOWN_CHANGES = 20
HISTORY_PER_PAGE = 20


@dataclass(frozen=True)
class TargetRow:
    """One target's line: its newest scan, and a day of it as seen from the vantage that spoke last."""

    host: str
    category: str
    pairs: str
    active: bool
    regions: str
    count: int
    silent: int
    rtt: str
    measured_at: datetime | None
    source: str
    spark: list[str]
    changes: int


@dataclass(frozen=True)
class Hop:
    """One hop of a path; a silent one stays silent, a private one masked."""

    number: int
    address: str
    rtt_ms: float | None
    silent: bool
    masked: bool


@dataclass(frozen=True)
class RouteChange:
    """Two scans in a row whose answering hops differ."""

    at: datetime
    changed: int
    compared: int
    hops_before: int
    hops_now: int
    share: str


@dataclass(frozen=True)
class Alarm:
    """How often a detector speaks on recordings in which nothing is known to have happened."""

    kind: str
    rate: str
    stored: str
    counted: str
    a_day: str
    naive: str
    naive_rule: str


def targets(query: Mapping[str, str], market: Market) -> Listing:
    """One page of targets, filtered by category."""
    known = [("category", _("Category"), _("Any category"), used(ScanTarget.objects.all(), "category"))]
    found = listing(ScanTarget.objects.order_by("-active", "host"), filters(known, query), query.get("page"))
    found.page.object_list = rows(list(found.page.object_list), market)
    return found


def rows(shown: list[ScanTarget], market: Market) -> list[TargetRow]:
    """The lines of these targets: two queries, however many scans there are."""
    day = Scan.objects.filter(target__in=shown, measured_at__gt=market.at - WINDOW, measured_at__lte=market.at)
    values = day.order_by("measured_at").values_list(
        "target_id", "vantage", "region", "measured_at", "total_rtt_ms", "route_sha256", "source"
    )
    by_target: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for target, *rest in values:
        by_target[target].append(tuple(rest))
    return [row(target, by_target[target.pk]) for target in shown]


def row(target: ScanTarget, scans: list[tuple[Any, ...]]) -> TargetRow:
    """One line. `scans`: (vantage, region, measured_at, rtt, route, source), the oldest first."""
    last = scans[-1] if scans else None
    same = [scan for scan in scans if last and scan[0] == last[0]]
    routes = [scan[4] for scan in same if scan[4]]
    return TargetRow(
        host=target.host,
        category=target.category,
        pairs=", ".join(target.pairs),
        active=target.active,
        regions=", ".join(sorted({scan[1] for scan in scans if scan[1]})),
        count=len(scans),
        silent=sum(scan[3] is None for scan in scans),
        rtt=f"{last[3]:.1f}" if last and last[3] is not None else "",
        measured_at=last[2] if last else None,
        source=last[5] if last else "",
        spark=spark([scan[3] for scan in same[-SPARK_POINTS:]]),
        changes=sum(before != now for before, now in itertools.pairwise(routes)),
    )


def spark(series: Sequence[float | None]) -> list[str]:
    """Polylines of a small line, one per stretch without silence: ["0,12.0 2,11.4 …"]."""
    known = [value for value in series if value is not None]
    if len(known) < 2:
        return []
    low, high = min(known), max(known)
    spread, step = (high - low) or 1.0, SPARK_WIDTH / (len(series) - 1)
    lines: list[list[str]] = [[]]
    for index, value in enumerate(series):
        if value is None:
            lines.append([])
            continue
        y = 1 + (SPARK_HEIGHT - 2) * (1 - (value - low) / spread)
        lines[-1].append(f"{index * step:.1f},{y:.1f}")
    return [" ".join(line) for line in lines if len(line) > 1]


def totals(market: Market) -> dict[str, Any]:
    """How many targets and scans there are within a day."""
    day = Q(measured_at__gt=market.at - WINDOW, measured_at__lte=market.at)
    counted = Scan.objects.filter(day).aggregate(
        scans=Count("pk"),
        silent=Count("pk", filter=Q(total_rtt_ms=None)),
        regions=Count("region", distinct=True, filter=~Q(region="")),
        vantages=Count("vantage", distinct=True),
        last=Max("measured_at"),
    )
    return {
        **counted,
        "targets": ScanTarget.objects.filter(active=True).count(),
        "silent_share": percent(counted["silent"] / counted["scans"]) if counted["scans"] else "",
    }


def detail(target: ScanTarget, query: Mapping[str, str], market: Market) -> dict[str, Any]:
    """The context of a target's page, from the vantage that the URL names or that spoke last."""
    seen = target.scans.filter(measured_at__lte=market.at)
    vantages = list(seen.values("vantage", "region").annotate(count=Count("pk"), last=Max("measured_at")))
    vantages.sort(key=lambda one: one["last"], reverse=True)
    names = [one["vantage"] for one in vantages]
    chosen = query.get("vantage") if query.get("vantage") in names else (names[0] if names else "")
    scans = seen.filter(vantage=chosen).order_by("-measured_at")
    newest = list(scans[:COMPARED])
    no_filters: list[Filter] = []
    return {
        "target": target,
        "vantages": vantages,
        "chosen": chosen,
        "last": newest[0] if newest else None,
        "hops": hops(newest[0]) if newest else [],
        "slowest": max((hop.rtt_ms or 0 for hop in hops(newest[0])), default=0) if newest else 0,
        "chart": series(scans),
        "changes": route_changes(newest)[:SHOWN_CHANGES],
        "compared": max(0, len(newest) - 1),
        "history": listing(scans.defer("envelope", "hops"), no_filters, query.get("page"), HISTORY_PER_PAGE),
        "signals": list(target.signals.select_related("outcome").order_by("-market_at")[:10]),
    }


def hops(scan: Scan) -> list[Hop]:
    """The path as it was measured."""
    return [
        Hop(
            number=int(hop.get("hop", index)),
            address=str(hop.get("ip") or ""),
            rtt_ms=None if hop.get("rtt_ms") is None else float(hop["rtt_ms"]),
            silent=hop.get("rtt_ms") is None and not hop.get("ip") and not hop.get("masked"),
            masked=bool(hop.get("masked")),
        )
        for index, hop in enumerate(scan.hops, start=1)
    ]


def series(scans: QuerySet[Scan]) -> dict[str, Any] | None:
    """Round-trip times of one vantage as a chart, silence as a gap; None where there are too few."""
    points = list(reversed(scans.values_list("measured_at", "total_rtt_ms")[:SERIES]))
    if sum(rtt is not None for _at, rtt in points) < 2:
        return None
    values = [None if rtt is None else round(rtt, 2) for _at, rtt in points]
    label = {"label": _("Round trip"), "unit": "ms", "values": values, "fill": True}
    return {"x": [int(at.timestamp()) for at, _rtt in points], "series": [label]}


def route_changes(newest: list[Scan]) -> list[RouteChange]:
    """Neighbouring scans whose answering hops differ, the newest first; silent hops are no difference."""
    found = []
    for now, before in itertools.pairwise(newest):
        old, new = addresses(before), addresses(now)
        common = old.keys() & new.keys()
        changed = sum(old[number] != new[number] for number in common)
        if changed or (old and new and max(old) != max(new)):
            share = percent(changed / len(common), 0) if common else ""
            found.append(
                RouteChange(now.measured_at, changed, len(common), max(old, default=0), max(new, default=0), share)
            )
    return found


def addresses(scan: Scan) -> dict[int, str]:
    """Addresses by hop, of the hops that said theirs."""
    return {hop.number: hop.address for hop in hops(scan) if hop.address}


def alarms() -> list[Alarm]:
    """False alarms as they were measured on recordings of real paths."""
    words = dict(SignalKind.choices)
    return [
        Alarm(
            kind=str(words.get(one["kind"], one["kind"])),
            rate=percent(one["rate"]),
            stored=percent(one["stored_rate"]),
            counted=_("%(alarms)d of %(n)d") % {"alarms": one["alarms"], "n": one["n"]},
            a_day=f"{one['a_day_per_target']:.1f}",
            naive=percent(one["naive"]["rate"]) if one.get("naive") else "",
            naive_rule=one["naive"]["rule"] if one.get("naive") else "",
        )
        for one in measured_alarms().get("detectors", [])
    ]


@lru_cache(maxsize=1)
def measured_alarms() -> dict[str, Any]:
    """The committed measurement; empty where it was not made."""
    file = resources.files("meshwork") / "recordings" / "false-alarms.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return found
