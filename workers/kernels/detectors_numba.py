"""The arithmetic of the detectors, compiled: one row a call, and loops over rows that call the same.

Shapes: n points of a series, oldest first, NaN where nobody answered; h positions of a route, 0 where one was silent.
Each row function fills `out`; out[0] is the confidence, 0 where there is nothing to say, out[1] the direction.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Route = NDArray[np.uint64]

MAD_TO_SIGMA = 1.4826
ABSURD_MS = 60_000.0
MOST = 1e6

Z_FIELDS = ("confidence", "direction", "strength", "z", "value", "baseline", "scale", "points", "flat")
T_FIELDS = ("confidence", "direction", "strength", "change", "before", "now", "r2", "t", "points")
R_FIELDS = ("confidence", "direction", "strength", "changed", "compared", "hops_before", "hops_now", "by_count")
WIDTH = 9


@njit(cache=True)
def sound(series: Floats) -> bool:  # (n,)
    """Whether every point is NaN or a time that a path can have."""
    fine = True
    for value in series:
        fine &= not (value < 0.0 or value > ABSURD_MS)
    return fine


@njit(cache=True)
def increasing(times: Floats) -> bool:  # (n,)
    """Whether every point has a finite time later than the one before."""
    fine = len(times) == 0 or (math.isfinite(times[0]) and math.isfinite(times[-1]))
    for i in range(1, len(times)):
        fine &= times[i] > times[i - 1]
    return fine


@njit(cache=True)
def sort(values: Floats, n: int) -> None:
    """Sort the first n in place; n is at most some dozens, where insertion is quickest."""
    for i in range(1, n):
        value = values[i]
        j = i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value


@njit(cache=True)
def sort_many(values: Floats, n: int, ordered: Floats) -> None:
    """The first n in order into `ordered`: each goes where as many are smaller. Beyond some dozens this is quicker."""
    for i in range(n):
        ordered[i] = math.nan
    for i in range(n):
        value = values[i]
        smaller = 0
        for j in range(n):
            smaller += 1 if values[j] < value else 0
        ordered[smaller] = value
    # Equal ones went to the same place and left the places after it empty.
    for i in range(1, n):
        if math.isnan(ordered[i]):
            ordered[i] = ordered[i - 1]


@njit(cache=True)
def middle(values: Floats, n: int) -> float:
    """The median of the first n, which are sorted."""
    half = n // 2
    median: float = values[half] if n % 2 else 0.5 * (values[half - 1] + values[half])
    return median


@njit(cache=True)
def spread(values: Floats, n: int, centre: float) -> float:
    """1.4826 times the median distance from the centre of the first n, which are sorted: two ends walk inwards."""
    low, high = 0, n - 1
    wanted = n // 2
    left = n
    upper = 0.0
    # The largest distances come off the two ends, until those of the middle are left.
    while left > wanted:
        below, above = centre - values[low], values[high] - centre
        # Without a branch: which end is farther cannot be foreseen.
        lower = int(below > above)
        upper = max(below, above)
        low += lower
        high -= 1 - lower
        left -= 1
    below = upper if n % 2 else max(centre - values[low], values[high] - centre)
    return MAD_TO_SIGMA * 0.5 * (upper + below)


@njit(cache=True)
def zscore_row(series: Floats, limits: Floats, work: Floats, out: Floats) -> None:
    """limits: window, minimum, threshold, critical, floor_ms, floor_share, moved_ms, base, slope, extra, cap, flat."""
    out[:] = 0.0
    n = len(series)
    if n == 0 or math.isnan(series[n - 1]):
        return
    value = series[n - 1]
    count = 0
    i = n - 2
    while i >= 0 and count < limits[0]:
        if not math.isnan(series[i]):
            work[count] = series[i]
            count += 1
        i -= 1
    if count < limits[1]:
        return
    ordered = work[len(work) // 2 :]
    sort_many(work, count, ordered)
    centre = middle(ordered, count)
    raw = spread(ordered, count, centre)
    moved = value - centre
    out[4], out[5], out[7] = value, centre, count
    if raw < limits[12]:
        out[6], out[8] = raw, 1.0
        if abs(moved) > limits[6]:
            out[0], out[1], out[2] = limits[11], -1.0 if moved > 0.0 else 1.0, abs(moved) / limits[6]
        return
    # A spread of few points is uncertain; with this factor normal noise passes 2.5 in 1.2% of cases at any count.
    scale = raw * (1.0 + 6.0 / (count - 3.3))
    scale = max(scale, limits[4], limits[5] * centre)
    z = moved / scale
    out[3], out[6] = z, scale
    size = abs(z)
    if size < limits[2]:
        return
    confidence = limits[7] + limits[8] * (size - limits[2])
    if size >= limits[3]:
        confidence += limits[9]
    out[0], out[1], out[2] = min(confidence, limits[10]), -1.0 if z > 0.0 else 1.0, size / limits[2]


@njit(cache=True)
def line(times: Floats, values: Floats, clamp: float, work: Floats, out: Floats) -> None:  # (w,), (w,)
    """Least squares over values clamped to `clamp` spreads about a robust line; out: slope, its error, R².

    The robust slope is the median of those between points half a window apart: spikes move it little.
    """
    width = len(times)
    half = width // 2
    for i in range(half):
        work[i] = (values[i + half] - values[i]) / (times[i + half] - times[i])
    sort(work, half)
    tilt = middle(work, half)
    for i in range(width):
        work[i] = values[i] - tilt * (times[i] - times[0])
    sort(work, width)
    centre = middle(work, width)
    reach = clamp * spread(work, width, centre)
    mean_t, mean_y = 0.0, 0.0
    for i in range(width):
        level = centre + tilt * (times[i] - times[0])
        work[i] = min(max(values[i], level - reach), level + reach)
        mean_t += times[i]
        mean_y += work[i]
    mean_t /= width
    mean_y /= width
    tt, ty, yy = 0.0, 0.0, 0.0
    for i in range(width):
        dt, dy = times[i] - mean_t, work[i] - mean_y
        tt += dt * dt
        ty += dt * dy
        yy += dy * dy
    slope = ty / tt
    left = max(yy - slope * ty, 0.0)
    out[0], out[1] = slope, math.sqrt(left / (width - 2) / tt)
    out[2] = 1.0 - left / yy if yy > 0.0 else 0.0


@njit(cache=True)
def trend_row(series: Floats, times: Floats, limits: Floats, work: Floats, out: Floats) -> None:
    """limits: width, change, significance, moved_ms, clamp, base, r2 weight, change weight, most change, cap.

    times (n,) in seconds, increasing. A shift is a new trend: the slope of the last window is beyond chance, points the
    way of the change, moves the series by at least moved_ms, and differs from the slope before beyond chance.
    """
    out[:] = 0.0
    width = int(limits[0])
    at, found, fit = work[: 2 * width], work[2 * width : 4 * width], work[4 * width :]
    count = 2 * width
    i = len(series) - 1
    if i < 0 or math.isnan(series[i]):
        return
    while i >= 0 and count > 0:
        if not math.isnan(series[i]):
            count -= 1
            at[count], found[count] = times[i], series[i]
        i -= 1
    if count > 0:
        return
    before, now, scratch = fit[:3], fit[3:6], fit[6:]
    line(at[width:], found[width:], limits[4], scratch, now)
    rise = abs(now[0]) * (at[2 * width - 1] - at[width])
    # Most series are quiet, and then the window before does not matter.
    if rise < limits[3] or abs(now[0]) < limits[2] * now[1]:
        return
    line(at[:width], found[:width], limits[4], scratch, before)
    difference = now[0] - before[0]
    error = math.sqrt(before[1] * before[1] + now[1] * now[1])
    least = max(abs(before[0]), error)
    # Without any noise both are as large as can be.
    change = min(abs(difference) / least, MOST) if least > 0.0 else MOST * (difference != 0.0)
    t = min(abs(difference) / error, MOST) if error > 0.0 else MOST * (difference != 0.0)
    out[3], out[4], out[5], out[6] = change, 60.0 * before[0], 60.0 * now[0], now[2]
    out[7], out[8] = t, 2 * width
    if t < limits[2] or change < limits[1] or difference * now[0] <= 0.0:
        return
    confidence = limits[5] + limits[6] * now[2] + limits[7] * min(change, limits[8])
    out[0], out[1], out[2] = min(confidence, limits[9]), -1.0 if difference > 0.0 else 1.0, change / limits[1]


@njit(cache=True)
def last_answer(route: Route) -> int:
    """One more than the position of the last hop that answered; 0 where none did."""
    for i in range(len(route) - 1, -1, -1):
        if route[i] != 0:
            return i + 1
    return 0


@njit(cache=True)
def route_row(before: Route, now: Route, moved_ms: float, limits: Floats, out: Floats) -> None:
    """limits: share, least_ms, base, weight, cap. before, now (h,); moved_ms: total time now less before, or NaN.

    Only positions that answered both times are compared. Where both ends are the same address the number of hops
    counts too, each more or fewer as one changed; where it is equal the direction is that of the total time.
    """
    out[:] = 0.0
    first, second = last_answer(before), last_answer(now)
    if first == 0 or second == 0:
        return
    changed, compared = 0, 0
    for i in range(min(first, second)):
        if before[i] != 0 and now[i] != 0:
            compared += 1
            changed += before[i] != now[i]
    same_end = before[first - 1] == now[second - 1]
    if same_end:
        changed += abs(first - second)
        compared += abs(first - second)
    if compared == 0:
        return
    out[3], out[4], out[5], out[6] = changed, compared, first, second
    if changed < limits[0] * compared:
        return
    direction = 0.0
    if same_end and first != second:
        direction, out[7] = -1.0 if second > first else 1.0, 1.0
    elif not math.isnan(moved_ms) and abs(moved_ms) >= limits[1]:
        direction = -1.0 if moved_ms > 0.0 else 1.0
    if direction == 0.0:
        return
    ratio = changed / compared
    out[0], out[1], out[2] = min(limits[2] + limits[3] * ratio, limits[4]), direction, ratio / limits[0]


@njit(cache=True)
def all_rows(
    scans: tuple[Floats, Floats, Route, Route, Floats],
    limits: tuple[Floats, Floats, Floats],
    out: Floats,  # (m, 3, WIDTH)
    refused: NDArray[np.bool_],  # (m,)
) -> None:
    """All three over m rows; scans: series (m, n), times (m, n), routes before and now (m, h), time moved (m,)."""
    series, times, before, now, moved = scans
    limits_z, limits_t, limits_r = limits
    work = np.empty(max(2 * int(limits_z[0]), 7 * int(limits_t[0]) + 6))
    for i in range(len(series)):
        refused[i] = not (sound(series[i]) and increasing(times[i]))
        if refused[i]:
            out[i] = 0.0
            continue
        zscore_row(series[i], limits_z, work, out[i, 0])
        trend_row(series[i], times[i], limits_t, work, out[i, 1])
        route_row(before[i], now[i], moved[i], limits_r, out[i, 2])
