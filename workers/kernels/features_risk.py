"""Features of risk over 60 returns, the Hurst exponent, and the statistics of 20 returns; see features.toml."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from workers.kernels.features_series import CLOSE, LIMIT, LOGC, RETURN, TINY, deviation, mean

Floats = NDArray[np.float64]

RISK, HURST, STATISTICS = 71, 85, 89
N = 60
SHORT = 20
BINS = 8
SIZES = (15, 30, 60)
TWO, THREE, PAIR, AFTER, BEST, GROWTH, SCRATCH = 32, 64, 96, 128, 160, 192, 224

LOGS = np.log(np.maximum(np.arange(64.0), 1.0))
ANGLES = 2.0 * np.pi * np.outer(np.arange(SHORT), np.arange(1, SHORT // 2 + 1)) / SHORT  # (20, 10)
COSINES, SINES = np.cos(ANGLES), np.sin(ANGLES)


@njit(cache=True, error_model="numpy")
def risks(s: Floats, i: int, row: Floats, work: Floats) -> None:
    """Fill risk, Hurst and the statistics of bar i; `work` (SCRATCH,) is scratch."""
    rewards(s, i, row)
    drawdown(s, i, row)
    tails(s, i, row)
    row[HURST] = hurst(s, i)
    level = mean(s, RETURN, i, SHORT)
    for j in range(SHORT):
        work[j] = s[RETURN, i - SHORT + 1 + j] - level
    spread = deviation(s, RETURN, i, SHORT)
    if spread <= TINY:
        for k in (0, 2, 3, 4):
            row[STATISTICS + k] = 0.0
    else:
        row[STATISTICS] = shannon(work)
        regularity(work, 0.2 * spread, row)
        row[STATISTICS + 3] = spectral(work)
    row[STATISTICS + 1] = sevcik(s, i)


@njit(cache=True, error_model="numpy")
def rewards(s: Floats, i: int, row: Floats) -> None:
    """Sharpe, Sortino, omega, skewness and kurtosis; 0 where the returns do not move."""
    level = mean(s, RETURN, i, N)
    second = third = fourth = loss = losses = gains = 0.0
    for t in range(i - N + 1, i + 1):
        value = s[RETURN, t]
        d = value - level
        second += d * d
        third += d * d * d
        fourth += d * d * d * d
        low = min(value, 0.0)
        loss += low * low
        losses -= low
        gains += max(value, 0.0)
    spread = math.sqrt(second / (N - 1))
    down = math.sqrt(loss / N)
    row[RISK] = level / spread if spread > TINY else 0.0
    row[RISK + 1] = max(-LIMIT, min(LIMIT, level / down)) if down > TINY else (LIMIT if level > TINY else 0.0)
    moves = spread > TINY
    m2, m3, m4 = second / N, third / N, fourth / N
    row[RISK + 5] = math.sqrt(N * (N - 1.0)) / (N - 2.0) * m3 / (m2 * math.sqrt(m2)) if moves else 0.0
    excess = (N + 1.0) * m4 / (m2 * m2) - 3.0 * (N - 1.0)
    row[RISK + 6] = (N - 1.0) / ((N - 2.0) * (N - 3.0)) * excess if moves else 0.0
    row[RISK + 7] = min(gains / losses, LIMIT) if losses > TINY else (LIMIT if gains > TINY else 1.0)


@njit(cache=True, error_model="numpy")
def drawdown(s: Floats, i: int, row: Floats) -> None:
    """Largest drawdown, Calmar and ulcer index of 61 closes."""
    peak = s[CLOSE, i - N]
    worst = square = 0.0
    for t in range(i - N, i + 1):
        peak = max(peak, s[CLOSE, t])
        fall = 1.0 - s[CLOSE, t] / peak
        worst = max(worst, fall)
        square += fall * fall
    row[RISK + 2] = worst
    gain = s[CLOSE, i] / s[CLOSE, i - N] - 1.0
    row[RISK + 8] = max(-LIMIT, min(LIMIT, gain / worst)) if worst > TINY else (LIMIT if gain > TINY else 0.0)
    row[RISK + 9] = 100.0 * math.sqrt(square / (N + 1.0))


@njit(cache=True, error_model="numpy")
def tails(s: Floats, i: int, row: Floats) -> None:
    """Value at risk and expected shortfall at 95%: from the four lowest of 60 returns."""
    a = b = c = d = np.inf
    for t in range(i - N + 1, i + 1):
        value = s[RETURN, t]
        if value < d:
            d = value
            if d < c:
                c, d = d, c
            if c < b:
                b, c = c, b
            if b < a:
                a, b = b, a
    row[RISK + 3] = -(c + 0.95 * (d - c))  # the quantile lies at place 0.05 · 59 = 2.95
    row[RISK + 4] = -(a + b + c) / 3.0


@njit(cache=True, error_model="numpy")
def hurst(s: Floats, i: int) -> float:
    """Slope of log mean rescaled range on log size over 15, 30 and 60 returns; 0.5 where nothing moves."""
    y0 = y1 = y2 = 0.0
    for k in range(3):
        size = SIZES[k]
        total, used = 0.0, 0
        for start in range(i - N, i, size):
            ratio = rescaled(s, start, size)
            if ratio > 0.0:
                total += ratio
                used += 1
        if used == 0:
            return 0.5
        y0, y1, y2 = y1, y2, math.log(total / used)
    return (y2 - y0) / math.log(4.0)  # the sizes are equally far apart in logarithms: y1 has no weight


@njit(cache=True, error_model="numpy")
def rescaled(s: Floats, start: int, size: int) -> float:
    """Range of the summed deviations over the standard deviation of the `size` returns after start; 0 if flat."""
    base = s[LOGC, start]
    level = (s[LOGC, start + size] - base) / size
    top = bottom = square = 0.0
    for j in range(1, size + 1):
        away = s[LOGC, start + j] - base - j * level
        top, bottom = max(top, away), min(bottom, away)
        d = s[RETURN, start + j] - level
        square += d * d
    spread = math.sqrt(square / size)
    return (top - bottom) / spread if spread > TINY else 0.0


@njit(cache=True, error_model="numpy")
def shannon(work: Floats) -> float:
    """Entropy of 20 values in 8 equal bins between the least and the largest, of at most 1."""
    least = largest = work[0]
    for j in range(1, SHORT):
        least, largest = min(least, work[j]), max(largest, work[j])
    for k in range(BINS):
        work[TWO + k] = 0.0
    for j in range(SHORT):
        work[TWO + min(int(BINS * ((work[j] - least) / (largest - least))), BINS - 1)] += 1.0
    total = 0.0
    for k in range(BINS):
        total += work[TWO + k] * LOGS[int(work[TWO + k])]
    share: float = (LOGS[SHORT] - total / SHORT) / LOGS[BINS]
    return share


@njit(cache=True, error_model="numpy")
def sevcik(s: Floats, i: int) -> float:
    """Fractal dimension of the path of 20 closes, drawn in a unit square; 1 for a straight path, and for none."""
    least = largest = s[CLOSE, i]
    for t in range(i - SHORT + 1, i):
        least, largest = min(least, s[CLOSE, t]), max(largest, s[CLOSE, t])
    reach = largest - least
    if reach <= TINY * largest:
        return 1.0
    length = 0.0
    wide = 1.0 / (SHORT - 1)
    for t in range(i - SHORT + 2, i + 1):
        tall = (s[CLOSE, t] - s[CLOSE, t - 1]) / reach
        length += math.sqrt(tall * tall + wide * wide)
    dimension: float = 1.0 + math.log(length) / LOGS[2 * (SHORT - 1)]
    return dimension


@njit(cache=True, error_model="numpy")
def regularity(work: Floats, near: float, row: Floats) -> None:
    """Approximate entropy (m = 2) and the Lyapunov exponent of one step, from the same distances of pairs.

    Every loop over b does one thing to each place of flat scratch at constant distances, which the compiler can do
    four at a time.
    """
    x, x1, x2 = work[0:20], work[1:20], work[2:20]
    twos, threes = work[TWO : TWO + 20], work[THREE : THREE + 20]
    pairs, after = work[PAIR : PAIR + 20], work[AFTER : AFTER + 20]
    best, growth = work[BEST : BEST + 20], work[GROWTH : GROWTH + 20]
    twos[:], threes[:], growth[:], best[:] = 0.0, 0.0, 0.0, np.inf
    for a in range(SHORT - 1):
        first, second = x[a], x1[a]
        for b in range(SHORT - 1):
            here, then = abs(first - x[b]), abs(second - x1[b])
            pair = here if here > then else then
            pairs[b], after[b] = pair, then
            twos[b] += 1.0 if pair <= near else 0.0
        if a == SHORT - 2:
            break
        third = x2[a]
        for b in range(SHORT - 2):
            later, pair, then = abs(third - x2[b]), pairs[b], after[b]
            worse = pair if pair > later else later
            threes[b] += 1.0 if worse <= near else 0.0
            after[b] = then if then > later else later
        pairs[max(a - 1, 0) : a + 2] = np.inf
        for b in range(SHORT - 2):
            pair = pairs[b] if pairs[b] > 0.0 else np.inf
            better = pair < best[b]
            growth[b] = after[b] if better else growth[b]
            best[b] = pair if better else best[b]
    two = three = 0.0
    for b in range(SHORT - 1):
        two += LOGS[int(work[TWO + b])]
    for b in range(SHORT - 2):
        three += LOGS[int(work[THREE + b])]
    m, more = SHORT - 1, SHORT - 2
    row[STATISTICS + 2] = two / m - LOGS[m] - (three / more - LOGS[more])
    row[STATISTICS + 4] = divergence(work)


@njit(cache=True, error_model="numpy")
def divergence(work: Floats) -> float:
    """Mean log of how far nearest pairs part in one step; 0 without any."""
    product, total, used = 1.0, 0.0, 0
    for b in range(SHORT - 2):
        if work[BEST + b] < np.inf and work[GROWTH + b] > 0.0:
            product *= work[GROWTH + b] / work[BEST + b]
            used += 1
            if used % 6 == 0:
                total += math.log(product)
                product = 1.0
    return (total + math.log(product)) / used if used > 0 else 0.0


@njit(cache=True, error_model="numpy")
def spectral(work: Floats) -> float:
    """Entropy of the power at the 10 frequencies of 20 values, of at most 1."""
    half = SHORT // 2
    for k in range(half):
        work[TWO + k] = work[THREE + k] = 0.0
    for j in range(SHORT):
        value = work[j]
        for k in range(half):
            work[TWO + k] += value * COSINES[j, k]
            work[THREE + k] += value * SINES[j, k]
    total = weighted = 0.0
    for k in range(half):
        power = work[TWO + k] * work[TWO + k] + work[THREE + k] * work[THREE + k]
        if power > 0.0:
            total += power
            weighted += power * math.log(power)
    return (math.log(total) - weighted / total) / math.log(half) if total > 0.0 else 0.0
