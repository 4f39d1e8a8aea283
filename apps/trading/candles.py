"""Market data: what a source gave, checked. Gaps and bad rows are stored as faults and never filled."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import Max, Q
from numpy.typing import NDArray

from apps.trading.market_time import clock
from apps.trading.models import Candle, CandleFault
from workers.protocol.clock import unix_ms

BAR_S = 60
BAR_MS = BAR_S * 1000
BAR = timedelta(seconds=BAR_S)
FIELDS = 6
FIRST_MS, LAST_MS = 0, 4_102_444_800_000  # 1970 to 2100
Fault = CandleFault.Fault
Values = tuple[float, ...]


@dataclass
class Ingested:
    """How many bars were new, how many were known, and the faults found for the first time."""

    accepted: int = 0
    known: int = 0
    faults: list[CandleFault] = field(default_factory=list)


@dataclass(frozen=True)
class Feed:
    """One source's bars of one pair on one venue."""

    source: str
    venue: str
    pair: str

    def fault(self, kind: str, at: datetime | None, detail: str, bars: int = 1) -> CandleFault:
        """A fault of this feed, not stored yet."""
        return CandleFault(
            source=self.source,
            venue=self.venue,
            pair=self.pair,
            fault=kind,
            opened_at=at,
            bars=bars,
            detail=detail[:300],
        )

    def candle(self, at: datetime, values: Values) -> Candle:
        """A bar of this feed, not stored yet. `values`: open, high, low, close, volume."""
        return Candle(
            source=self.source,
            venue=self.venue,
            pair=self.pair,
            interval_s=BAR_S,
            opened_at=at,
            open=values[0],
            high=values[1],
            low=values[2],
            close=values[3],
            volume=values[4],
        )


@transaction.atomic
def ingest(source: str, venue: str, pair: str, rows: Sequence[Sequence[Any]], now: datetime) -> Ingested:
    """Store the sound one-minute bars among rows [opened ms, open, high, low, close, volume]; `now` is market time.

    A bar that is stored already is known, not a fault, unless it differs: the first one stays. Rows out of order are
    stored and noted. Ingesting the same rows again changes nothing.
    """
    feed = Feed(source, venue, pair)
    found = Ingested()
    faults: list[CandleFault] = []
    sound = _in_order(feed, rows, now, faults)
    stored = Candle.objects.filter(source=source, venue=venue, pair=pair, interval_s=BAR_S)
    known = {
        bar.opened_at: (bar.open, bar.high, bar.low, bar.close, bar.volume)
        for bar in stored.filter(opened_at__in=list(sound))
    }
    fresh = {}
    for at, values in sound.items():
        if at not in known:
            fresh[at] = values
        elif known[at] == values:
            found.known += 1
        else:
            detail = f"{list(values)} instead of {list(known[at])}; the first stays."
            faults.append(feed.fault(Fault.DUPLICATE, at, detail))
    last = stored.aggregate(at=Max("opened_at"))["at"]
    if last is not None:
        faults.extend(_late(feed, at, last) for at in sorted(fresh) if at < last)
    faults.extend(_gaps(feed, sorted(at for at in fresh if last is None or at > last), last))
    made = Candle.objects.bulk_create(
        [feed.candle(at, values) for at, values in sorted(fresh.items())], ignore_conflicts=True
    )
    found.accepted = len(made)
    found.faults = _new(feed, faults, now)
    return found


def _in_order(
    feed: Feed, rows: Sequence[Sequence[Any]], now: datetime, faults: list[CandleFault]
) -> dict[datetime, Values]:
    """The sound bars by their opening; what is wrong with the others is appended to `faults`."""
    sound: dict[datetime, Values] = {}
    latest: datetime | None = None
    for row in rows:
        at, values, wrong = _read(row, now)
        if at is None or wrong:
            faults.append(feed.fault(Fault.BAD_ROW, at, f"{wrong} {list(row)!r}"))
            continue
        if at in sound:
            same = "the same" if sound[at] == values else f"other values, {list(values)}; the first stay"
            faults.append(feed.fault(Fault.DUPLICATE, at, f"The minute came twice in one answer: {same}."))
            continue
        if latest is not None and at < latest:
            faults.append(feed.fault(Fault.OUT_OF_ORDER, at, f"It came after {latest:%Y-%m-%d %H:%M}."))
        latest = at if latest is None else max(at, latest)
        sound[at] = values
    return sound


def _read(row: Sequence[Any], now: datetime) -> tuple[datetime | None, Values, str]:
    """A row's opening, its five values, and what is wrong with it; empty where it is sound."""
    if len(row) != FIELDS:
        return None, (), f"It has {len(row)} fields instead of {FIELDS}."
    try:
        ms, *rest = [float(item) for item in row]
    except (TypeError, ValueError):
        return None, (), "It holds something that is no number."
    if not math.isfinite(ms) or not FIRST_MS <= ms < LAST_MS:
        return None, (), "Its time is none."
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return at, tuple(rest), _wrong(int(ms), tuple(rest), at, now)


def _wrong(ms: int, values: Values, at: datetime, now: datetime) -> str:
    """What is wrong with a bar; empty where nothing is."""
    opened, high, low, close, volume = values
    if not all(math.isfinite(value) for value in values):
        return "A value is not finite."
    if min(opened, high, low, close) <= 0:
        return "A price is not positive."
    if high < low or not low <= opened <= high or not low <= close <= high:
        return "Open, high, low and close contradict one another."
    if volume < 0:
        return "The volume is negative."
    if ms % BAR_MS:
        return "It does not begin with a minute."
    return "The minute is not over." if at + BAR > now else ""


def _late(feed: Feed, at: datetime, last: datetime) -> CandleFault:
    return feed.fault(Fault.OUT_OF_ORDER, at, f"It came after {last:%Y-%m-%d %H:%M} was stored.")


def _gaps(feed: Feed, times: list[datetime], last: datetime | None) -> list[CandleFault]:
    """The missing minutes before each of the new bars, which are in order."""
    faults = []
    before = last
    for at in times:
        if before is not None and at - before > BAR:
            missing = int((at - before) / BAR) - 1
            detail = f"{missing} missing between {before:%H:%M} and {at:%H:%M}."
            faults.append(feed.fault(Fault.GAP, before + BAR, detail, missing))
        before = at
    return faults


def _new(feed: Feed, faults: list[CandleFault], now: datetime) -> list[CandleFault]:
    """Store the faults that are not known yet: a source that is asked again shows the same ones again."""
    if not faults:
        return []
    same = Q(opened_at__in=[fault.opened_at for fault in faults]) | Q(opened_at=None)
    stored = CandleFault.objects.filter(same, source=feed.source, venue=feed.venue, pair=feed.pair)
    known = set(stored.values_list("fault", "opened_at", "detail"))
    fresh = []
    for fault in faults:
        key = (str(fault.fault), fault.opened_at, fault.detail)
        if key not in known:
            known.add(key)
            fault.seen_at = now
            fresh.append(fault)
    return CandleFault.objects.bulk_create(fresh)


def venue_of(pair: str, upto: datetime) -> str | None:
    """The venue whose bars are looked at: that of the last complete one, so that two venues are never mixed."""
    bars = Candle.objects.filter(source=clock().source, pair=pair, interval_s=BAR_S, opened_at__lte=upto - BAR)
    return bars.order_by("-opened_at", "venue").values_list("venue", flat=True).first()


def window(pair: str, upto: datetime, n: int) -> NDArray[np.float64]:
    """The last n bars that were complete at `upto`: (≤n, 6) of opened ms, open, high, low, close, volume; old first.

    A missing minute is a missing row: the times tell.
    """
    bars = Candle.objects.filter(
        source=clock().source, venue=venue_of(pair, upto), pair=pair, interval_s=BAR_S, opened_at__lte=upto - BAR
    ).order_by("-opened_at")
    rows = list(bars.values_list("opened_at", "open", "high", "low", "close", "volume")[:n])
    found = np.array([(unix_ms(at), *values) for at, *values in reversed(rows)], dtype=np.float64)
    return found.reshape(-1, FIELDS)


def bar_at(pair: str, at: datetime) -> Candle | None:
    """The bar that was the last to be complete at `at`; None over a gap."""
    minute = at.replace(second=0, microsecond=0)
    return Candle.objects.filter(
        source=clock().source, venue=venue_of(pair, at), pair=pair, interval_s=BAR_S, opened_at=minute - BAR
    ).first()


def price_at(pair: str, at: datetime) -> float | None:
    """The close of the minute that ended at `at`, or last before; None over a gap."""
    bar = bar_at(pair, at)
    return None if bar is None else bar.close
