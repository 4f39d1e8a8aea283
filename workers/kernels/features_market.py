"""Features of volume, of candle patterns and of the market's microstructure; see features.toml."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from workers.kernels.features_price import slope
from workers.kernels.features_series import (
    CLOSE,
    FLOW,
    HIGH,
    LOW,
    OPEN,
    RANGE,
    RETURN,
    SIGNED,
    TINY,
    TYPICAL,
    VOLUME,
    deviation,
    mean,
)

Floats = NDArray[np.float64]

VOLUMES, PATTERNS, MICRO = 30, 53, 63


@njit(cache=True, error_model="numpy")
def market(s: Floats, i: int, row: Floats) -> None:
    """Fill volume, patterns and microstructure of bar i, but the force index."""
    volume(s, i, row)
    ranges(s, i, row)
    candles(s, i, row)
    spreads(s, i, row)
    impact(s, i, row)


@njit(cache=True, error_model="numpy")
def volume(s: Floats, i: int, row: Floats) -> None:
    """Trends of volume, of the balance and of accumulation in mean volumes; all 0 without volume."""
    usual = mean(s, VOLUME, i, 20)
    usual_60 = mean(s, VOLUME, i, 60)
    row[VOLUMES + 1] = slope(s, VOLUME, i, 60) / usual_60 if usual_60 > 0.0 else 0.0
    if usual <= 0.0:
        for k in (0, 2, 3, 4, 5, 6):
            row[VOLUMES + k] = 0.0
        return
    row[VOLUMES] = slope(s, VOLUME, i, 20) / usual
    spread = deviation(s, VOLUME, i, 20)
    row[VOLUMES + 2] = spread / usual
    wide = deviation(s, RETURN, i, 20)
    level = mean(s, RETURN, i, 20)
    together = money = traded = balance = flow = balance_slope = flow_slope = 0.0
    for j in range(20):
        t = i - 19 + j
        together += (s[RETURN, t] - level) * (s[VOLUME, t] - usual)
        money += s[TYPICAL, t] * s[VOLUME, t]
        traded += s[VOLUME, t]
        if j > 0:
            balance += s[SIGNED, t]
            flow += s[FLOW, t]
        balance_slope += (j - 9.5) * balance
        flow_slope += (j - 9.5) * flow
    steady = wide <= TINY or spread <= TINY * usual
    row[VOLUMES + 3] = 0.0 if steady else max(-1.0, min(1.0, together / (19.0 * wide * spread)))
    row[VOLUMES + 4] = balance_slope / 665.0 / usual
    row[VOLUMES + 5] = s[CLOSE, i] / (money / traded) - 1.0
    row[VOLUMES + 6] = flow_slope / 665.0 / usual


@njit(cache=True, error_model="numpy")
def ranges(s: Floats, i: int, row: Floats) -> None:
    """Extremes, expansion and gap."""
    higher = lower = 0
    for t in range(i - 9, i + 1):
        higher += s[HIGH, t] > s[HIGH, t - 1]
        lower += s[LOW, t] < s[LOW, t - 1]
    row[PATTERNS] = higher / 10.0
    row[PATTERNS + 1] = lower / 10.0
    total = 0.0
    for t in range(i - 19, i + 1):
        total += s[HIGH, t] - s[LOW, t]
    row[PATTERNS + 2] = (s[HIGH, i] - s[LOW, i]) / (total / 20.0) if total > 0.0 else 1.0
    row[PATTERNS + 3] = s[OPEN, i] / s[CLOSE, i - 1] - 1.0


@njit(cache=True, error_model="numpy")
def candles(s: Floats, i: int, row: Floats) -> None:
    """Candle patterns: 1 where the bar is one."""
    first, high, low, last = s[OPEN, i], s[HIGH, i], s[LOW, i], s[CLOSE, i]
    body, reach = abs(last - first), high - low
    under, over = min(first, last) - low, high - max(first, last)
    row[PATTERNS + 4] = 1.0 if body <= 0.1 * reach else 0.0
    long_under = under >= 2.0 * body and under >= 0.5 * reach and over <= 0.1 * reach
    long_over = over >= 2.0 * body and over >= 0.5 * reach and under <= 0.1 * reach
    row[PATTERNS + 5] = 1.0 if reach > 0.0 and long_under else 0.0
    row[PATTERNS + 6] = 1.0 if reach > 0.0 and long_over else 0.0
    opened, closed = s[OPEN, i - 1], s[CLOSE, i - 1]
    larger = body > abs(closed - opened)
    rises = closed < opened and last > first and first <= closed and last >= opened
    falls = closed > opened and last < first and first >= closed and last <= opened
    row[PATTERNS + 7] = 1.0 if rises and larger else 0.0
    row[PATTERNS + 8] = 1.0 if falls and larger else 0.0
    high_before, low_before = s[HIGH, i - 1], s[LOW, i - 1]
    inside = high <= high_before and low >= low_before and reach < high_before - low_before
    row[PATTERNS + 9] = 1.0 if inside else 0.0


@njit(cache=True, error_model="numpy")
def spreads(s: Floats, i: int, row: Floats) -> None:
    """Range as spread, and Roll's spread from the covariance of neighbouring returns."""
    row[MICRO] = mean(s, RANGE, i, 20)
    row[MICRO + 1] = deviation(s, RANGE, i, 20)
    now = before = both = 0.0
    for t in range(i - 19, i + 1):
        now += s[RETURN, t]
        before += s[RETURN, t - 1]
        both += s[RETURN, t] * s[RETURN, t - 1]
    covariance = (both - now * before / 20.0) / 19.0
    row[MICRO + 2] = 2.0 * math.sqrt(max(-covariance, 0.0))


@njit(cache=True, error_model="numpy")
def impact(s: Floats, i: int, row: Floats) -> None:
    """What volume moves, which side it is on, and how straight and lasting the moves are."""
    illiquid = signed = traded = straight = 0.0
    level, signed_mean = mean(s, RETURN, i, 20), mean(s, SIGNED, i, 20)
    with_volume = 0
    together = square = 0.0
    for t in range(i - 19, i + 1):
        amount = s[VOLUME, t]
        if amount > 0.0:
            illiquid += abs(s[RETURN, t]) / (s[CLOSE, t] * amount)
            with_volume += 1
        d = s[SIGNED, t] - signed_mean
        together += d * (s[RETURN, t] - level)
        square += d * d
        signed += s[SIGNED, t]
        traded += amount
        straight += abs(s[CLOSE, t] - s[CLOSE, t - 1])
    usual = traded / 20.0
    row[MICRO + 3] = 1e6 * illiquid / with_volume if with_volume > 0 else 0.0
    varied = math.sqrt(square) > TINY * usual
    row[MICRO + 4] = together / square * usual if varied else 0.0
    row[MICRO + 5] = signed / traded if traded > 0.0 else 0.0
    row[MICRO + 6] = abs(s[CLOSE, i] - s[CLOSE, i - 20]) / straight if straight > 0.0 else 0.0
    row[MICRO + 7] = lasting(s, i)


@njit(cache=True, error_model="numpy")
def lasting(s: Floats, i: int) -> float:
    """Variance of 5-bar returns over five times that of 1-bar returns, in 60 returns; 1 where nothing moves."""
    single = deviation(s, RETURN, i, 60)
    if single <= TINY:
        return 1.0
    start = i - 59
    five = s[RETURN, start] + s[RETURN, start + 1] + s[RETURN, start + 2] + s[RETURN, start + 3] + s[RETURN, start + 4]
    total, square = five, five * five
    for t in range(start + 5, i + 1):
        five += s[RETURN, t] - s[RETURN, t - 5]
        total += five
        square += five * five
    variance: float = max(square - total * total / 56.0, 0.0) / 55.0
    return variance / (5.0 * single * single)
