"""Detectors of what happens to a network path: latency anomaly, trend shift, route change, and their composite.

Series are oldest first, in ms, NaN where nobody answered; the newest point is what is judged, and a silent newest point
says nothing. A negative, infinite or absurd time (beyond 60 s) is no measurement: MeasurementRefused, and in a batch
the row is marked refused. Silent hops are neither equal nor changed.

Live and batch run the same compiled rows, so they agree bit for bit.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.kernels import detectors_numba as rows
from workers.kernels.detection import (
    KINDS,
    LATENCY_ANOMALY,
    ROUTE_CHANGE,
    TREND_SHIFT,
    Detection,
    MeasurementRefused,
    band,
    composite,
)

__all__ = [
    "KINDS",
    "Batch",
    "Detection",
    "MeasurementRefused",
    "RouteLimits",
    "TrendLimits",
    "ZLimits",
    "band",
    "batch",
    "composite",
    "encode_route",
    "route_change",
    "trend_shift",
    "zscore",
]

Floats = NDArray[np.float64]
MOST_HOPS = 64


@dataclass(frozen=True)
class ZLimits:
    """Of the z-score.

    The floors keep a quiet baseline from making trifles look large: with them half of the recorded pings of RIPE Atlas
    pass the threshold as often as normal noise would (`bench/false_alarms.py` measures both halves).
    """

    window: float = 50
    minimum: float = 10
    threshold: float = 2.5
    critical: float = 4.0
    floor_ms: float = 0.5
    floor_share: float = 0.005
    moved_ms: float = 1.0
    base: float = 0.50
    per_z: float = 0.10
    critical_extra: float = 0.10
    cap: float = 0.95
    flat: float = 0.60
    resolution_ms: float = 0.001


@dataclass(frozen=True)
class TrendLimits:
    """Of the trend shift; `significance` is in standard errors, `clamp` in spreads about a robust line."""

    width: float = 20
    change: float = 0.3
    significance: float = 3.0
    moved_ms: float = 1.0
    clamp: float = 3.0
    base: float = 0.40
    per_r2: float = 0.25
    per_change: float = 0.10
    most_change: float = 3.0
    cap: float = 0.90


@dataclass(frozen=True)
class RouteLimits:
    """Of the route change; a total time that moved by `least_ms` gives an unchanged count its direction."""

    share: float = 0.15
    least_ms: float = 1.0
    base: float = 0.45
    per_share: float = 0.40
    cap: float = 0.85


Z = ZLimits()
TREND = TrendLimits()
ROUTE = RouteLimits()


@dataclass(frozen=True)
class Batch:
    """What all detectors say of m scans; the columns are latency anomaly, trend shift, route change.

    confidence, strength: (m, 3), 0 where there is nothing to say; direction: (m, 3) in {-1, 0, 1}; refused: (m,).
    """

    values: Floats  # (m, 3, WIDTH)
    refused: NDArray[np.bool_]

    @property
    def confidence(self) -> Floats:
        return self.values[:, :, 0]

    @property
    def direction(self) -> Floats:
        return self.values[:, :, 1]

    @property
    def strength(self) -> Floats:
        return self.values[:, :, 2]

    def detections(self, row: int) -> list[Detection]:
        """Everything said of one scan, the composite last; raises MeasurementRefused for a refused one."""
        if self.refused[row]:
            raise MeasurementRefused(f"scan {row} holds a time that no path can have")
        found = [_detection(index, self.values[row, index]) for index in range(3)]
        said = [each for each in found if each is not None]
        both = composite(said)
        return [*said, both] if both else said


def zscore(rtts: Sequence[float] | Floats, limits: ZLimits = Z) -> Detection | None:
    """Whether the newest time is off the median of the up to 50 before it; rtts (n,) in ms."""
    series, out = _series(rtts), np.empty(rows.WIDTH)
    rows.zscore_row(series, _packed(limits), np.empty(2 * int(limits.window)), out)
    return _detection(0, out)


def trend_shift(
    rtts: Sequence[float] | Floats, times: Sequence[float] | Floats | None = None, limits: TrendLimits = TREND
) -> Detection | None:
    """Whether the last 20 points have a new trend against the 20 before; times (n,) in s, one apart unless given."""
    series, out = _series(rtts), np.empty(rows.WIDTH)
    rows.trend_row(series, _times(times, series), _packed(limits), np.empty(7 * int(limits.width) + 6), out)
    return _detection(1, out)


def route_change(
    hops_before: Sequence[Mapping[str, Any]],
    hops_now: Sequence[Mapping[str, Any]],
    limits: RouteLimits = ROUTE,
) -> Detection | None:
    """Whether the path differs; hops are {"hop", "ip": text or None, "rtt_ms": number, text or None}, in any order."""
    before, now, out = encode_route(hops_before), encode_route(hops_now), np.empty(rows.WIDTH)
    moved = _total(hops_now) - _total(hops_before)
    rows.route_row(before, now, moved, _packed(limits), out)
    return _detection(2, out)


def batch(
    rtts: Floats,
    times: Floats | None = None,
    hops_before: NDArray[np.uint64] | None = None,
    hops_now: NDArray[np.uint64] | None = None,
    moved_ms: Floats | None = None,
    limits: tuple[ZLimits, TrendLimits, RouteLimits] = (Z, TREND, ROUTE),
) -> Batch:
    """All detectors over m scans: rtts (m, n), times (m, n) in s, routes (m, h) of `encode_route`, moved_ms (m,).

    Routes and the time they moved are left out where only series are judged.
    """
    series = np.ascontiguousarray(rtts, dtype=np.float64)
    m, n = series.shape
    if times is None:
        times = np.broadcast_to(np.arange(n, dtype=np.float64), (m, n))
    silent = np.zeros((m, 1), dtype=np.uint64)
    before = silent if hops_before is None else hops_before
    now = silent if hops_now is None else hops_now
    moved = np.full(m, np.nan) if moved_ms is None else moved_ms
    out, refused = np.empty((m, 3, rows.WIDTH)), np.zeros(m, dtype=np.bool_)
    packed = (_packed(limits[0]), _packed(limits[1]), _packed(limits[2]))
    rows.all_rows((series, np.ascontiguousarray(times), before, now, moved), packed, out, refused)
    return Batch(out, refused)


def encode_route(hops: Sequence[Mapping[str, Any]], length: int = MOST_HOPS) -> NDArray[np.uint64]:
    """One number a position, 0 where the hop is silent; raises MeasurementRefused for a malformed or double hop."""
    route = np.zeros(length, dtype=np.uint64)
    for hop in hops:
        place, address = hop.get("hop"), hop.get("ip")
        if not isinstance(place, int) or not 1 <= place <= length or not (address is None or isinstance(address, str)):
            raise MeasurementRefused("a hop needs its place and its address or none")
        if route[place - 1]:
            raise MeasurementRefused(f"hop {place} stands twice")
        route[place - 1] = _number(address) if address else 0
    return route


@lru_cache(maxsize=65_536)
def _number(address: str) -> int:
    """64 bits that stand for an address, never 0."""
    return int.from_bytes(hashlib.sha256(address.encode()).digest()[:8], "big") | 1


def _total(hops: Sequence[Mapping[str, Any]]) -> float:
    """The time of the last hop that answered, in ms; NaN where there is none."""
    timed = [hop for hop in hops if hop.get("rtt_ms") is not None]
    return float(max(timed, key=lambda hop: hop["hop"])["rtt_ms"]) if timed else math.nan


def _series(rtts: Sequence[float] | Floats) -> Floats:
    """(n,) float64, checked."""
    series = np.ascontiguousarray(rtts, dtype=np.float64)
    if series.ndim != 1 or not rows.sound(series):
        raise MeasurementRefused("a series is one row of times between 0 and 60 s, NaN where nobody answered")
    return series


def _times(times: Sequence[float] | Floats | None, series: Floats) -> Floats:
    """(n,) seconds, increasing, as many as there are points."""
    if times is None:
        return np.arange(len(series), dtype=np.float64)
    given = np.ascontiguousarray(times, dtype=np.float64)
    if given.shape != series.shape or not rows.increasing(given):
        raise MeasurementRefused("every point needs a time later than the one before")
    return given


def _packed(limits: ZLimits | TrendLimits | RouteLimits) -> Floats:
    """The limits in the order that the compiled rows read."""
    return np.array(astuple(limits), dtype=np.float64)


def _detection(index: int, out: Floats) -> Detection | None:
    """What a row says, or None; index 0 is the latency anomaly, 1 the trend shift, 2 the route change."""
    if out[0] == 0.0:
        return None
    kind = (LATENCY_ANOMALY, TREND_SHIFT, ROUTE_CHANGE)[index]
    names = (rows.Z_FIELDS, rows.T_FIELDS, rows.R_FIELDS)[index]
    details = {name: float(value) for name, value in zip(names[3:], out[3:], strict=False)}
    return Detection(kind, int(out[1]), float(out[0]), float(out[2]), details)
