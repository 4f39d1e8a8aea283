"""All detectors over 1,000 scans, beside the same rules row by row in NumPy; and their false alarms on recordings."""

import time
from statistics import median
from typing import Any

import numpy as np

from bench import false_alarms
from workers.kernels import detectors
from workers.kernels.detectors_numba import MAD_TO_SIGMA

SCANS = 1_000
POINTS = 51
HOPS = 20
ROUNDS = 30
PEER_ROUNDS = 3
SEED = 20260101

Scans = tuple[Any, Any, Any, Any, Any]


def measure() -> list[dict[str, Any]]:
    """The time of a batch, and one row a detector on the recordings."""
    scans = made()
    ours = timed(lambda: detectors.batch(*scans), ROUNDS)
    theirs = timed(lambda: loop(scans), PEER_ROUNDS)
    found, expected = detectors.batch(*scans).confidence, loop(scans)
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-9)
    speed = {
        "figure": "detectors_1000",
        "ours": round(ours, 3),
        "unit": "ms",
        "peer": "NumPy, scan by scan",
        "theirs": round(theirs, 1),
        "ratio": theirs / ours,
        "n": SCANS * ROUNDS,
        "note": f"{POINTS} points, {HOPS} hops; equal confidences, {np.mean(found > 0):.1%} above 0; goal ≤ 2 ms",
    }
    return [speed, *alarms()]


def made() -> Scans:
    """Noise; a tenth each with a spike, with a trend, with silence, and with a moved route."""
    random = np.random.default_rng(SEED)
    rtts = 40 + random.normal(0, 1, (SCANS, POINTS))
    rtts[::10, -1] += 15
    rtts[1::10, -20:] += 0.5 * np.arange(20)
    rtts[2::10][random.random((len(rtts[2::10]), POINTS)) < 0.1] = np.nan
    before = random.integers(1, 2**63, (SCANS, HOPS), dtype=np.uint64)
    before[random.random((SCANS, HOPS)) < 0.1] = 0
    now = before.copy()
    now[3::10, 5:15] += np.uint64(2)
    times = np.tile(np.arange(POINTS) * 900.0, (SCANS, 1))
    return rtts, times, before, now, rtts[:, -1] - rtts[:, -2]


def timed(work: Any, rounds: int) -> float:
    """Median milliseconds, after one call that does not count."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return median(times)


def loop(scans: Scans) -> Any:
    """The peer: (m, 3) confidences by the same rules."""
    return np.array([[zscore(row[0]), trend(row[0], row[1]), route(*row[2:])] for row in zip(*scans, strict=True)])


def zscore(series: Any, z: detectors.ZLimits = detectors.Z) -> float:
    """Confidence of the latency anomaly."""
    before = series[:-1][~np.isnan(series[:-1])][-int(z.window) :]
    if np.isnan(series[-1]) or len(before) < z.minimum:
        return 0.0
    centre = np.median(before)
    raw = MAD_TO_SIGMA * np.median(np.abs(before - centre))
    if raw < z.resolution_ms:
        return z.flat if abs(series[-1] - centre) > z.moved_ms else 0.0
    scale = max(raw * (1 + 6.0 / (len(before) - 3.3)), z.floor_ms, z.floor_share * centre)
    size = abs(series[-1] - centre) / scale
    extra = z.critical_extra if size >= z.critical else 0.0
    return float(min(z.base + z.per_z * (size - z.threshold) + extra, z.cap)) if size >= z.threshold else 0.0


def fit(at: Any, values: Any, clamp: float) -> tuple[float, float, float]:
    """Slope, its error, R² of the values clamped about a robust line."""
    half = len(at) // 2
    tilt = np.median((values[half:] - values[:half]) / (at[half:] - at[:half]))
    left = values - tilt * (at - at[0])
    centre = np.median(left)
    reach = clamp * MAD_TO_SIGMA * np.median(np.abs(left - centre))
    level = centre + tilt * (at - at[0])
    clamped = np.clip(values, level - reach, level + reach)
    dt, dy = at - at.mean(), clamped - clamped.mean()
    slope = (dt @ dy) / (dt @ dt)
    rest = max(dy @ dy - slope * (dt @ dy), 0.0)
    return slope, np.sqrt(rest / (len(at) - 2) / (dt @ dt)), 1 - rest / (dy @ dy) if dy.any() else 0.0


def trend(series: Any, times: Any, limits: detectors.TrendLimits = detectors.TREND) -> float:
    """Confidence of the trend shift."""
    answered = ~np.isnan(series)
    width = int(limits.width)
    at, values = times[answered][-2 * width :], series[answered][-2 * width :]
    if not answered[-1] or len(values) < 2 * width:
        return 0.0
    (before, error, _), (now, error_now, r2) = (fit(at[s], values[s], limits.clamp) for s in halves(width))
    both = np.hypot(error, error_now)
    change = abs(now - before) / max(abs(before), both)
    certain = abs(now - before) >= limits.significance * both and abs(now) >= limits.significance * error_now
    moved = abs(now) * (at[-1] - at[width]) >= limits.moved_ms and (now - before) * now > 0
    confidence = limits.base + limits.per_r2 * r2 + limits.per_change * min(change, limits.most_change)
    return float(min(confidence, limits.cap)) if certain and moved and change >= limits.change else 0.0


def halves(width: int) -> tuple[slice, slice]:
    """The window before, and the last."""
    return slice(0, width), slice(width, None)


def route(before: Any, now: Any, moved_ms: float, limits: detectors.RouteLimits = detectors.ROUTE) -> float:
    """Confidence of the route change."""
    if not (before.any() and now.any()):
        return 0.0
    first, second = np.flatnonzero(before)[-1] + 1, np.flatnonzero(now)[-1] + 1
    both = (before != 0) & (now != 0)
    both[min(first, second) :] = False
    more = abs(int(first) - int(second)) if before[first - 1] == now[second - 1] else 0
    changed, compared = int((before != now)[both].sum()) + more, int(both.sum()) + more
    if compared == 0 or changed < limits.share * compared:
        return 0.0
    directed = more > 0 or abs(moved_ms) >= limits.least_ms
    return min(limits.base + limits.per_share * changed / compared, limits.cap) if directed and changed else 0.0


def alarms() -> list[dict[str, Any]]:
    """The false alarms in percent, each beside the usual rule's on the same cases."""
    return [
        {
            "figure": f"false_alarms_{each['kind']}",
            "ours": round(100 * each["rate"], 2),
            "unit": "% of scans",
            "peer": each["naive"] and each["naive"]["rule"],
            "theirs": each["naive"] and round(100 * each["naive"]["rate"], 2),
            "ratio": each["naive"]["rate"] / each["rate"] if each["naive"] and each["rate"] else None,
            "n": each["n"],
            "note": f"RIPE Atlas: {each['input']}; upper bound, no incident known",
        }
        for each in false_alarms.measure()["detectors"]
    ]
