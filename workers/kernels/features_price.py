"""Features of windows of closes and bars: momentum, reversal, volatility, technical, trend; see features.toml."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from workers.kernels.features_series import (
    CLOSE,
    CONVERSION,
    FAST_K,
    HIGH,
    LOGCO,
    LOGHL,
    LOW,
    RETURN,
    SPAN_B,
    TINY,
    TYPICAL,
    VOL5,
    VOLUME,
    deviation,
    highest,
    lowest,
    mean,
)

Floats = NDArray[np.float64]

MOMENTUM, REVERSAL, VOLATILITY, TECHNICAL, TREND = 0, 12, 20, 38, 81
SPANS = (1, 5, 10, 20, 30, 60, 90, 120, 180, 252)
GARMAN = 2.0 * math.log(2.0) - 1.0
PARKINSON = 1.0 / (4.0 * math.log(2.0))


@njit(cache=True, error_model="numpy")
def prices(s: Floats, i: int, row: Floats) -> None:
    """Fill momentum, reversal, volatility, technical and trend of bar i, but what recursion and Hurst give."""
    averages(s, i, row)
    momentum(s, i, row)
    volatility(s, i, row)
    oscillators(s, i, row)
    aroon(s, i, row)
    money_flow(s, i, row)
    trends(s, i, row)


@njit(cache=True, error_model="numpy")
def momentum(s: Floats, i: int, row: Floats) -> None:
    """Returns over the spans, and what repeats them."""
    close = s[CLOSE, i]
    for k in range(len(SPANS)):
        row[MOMENTUM + k] = close / s[CLOSE, i - SPANS[k]] - 1.0
    row[MOMENTUM + 10] = close / s[CLOSE, i - 10] - s[CLOSE, i - 10] / s[CLOSE, i - 20]
    risen = 0
    for t in range(i - 19, i + 1):
        risen += s[RETURN, t] > 0.0
    row[MOMENTUM + 11] = risen / 20.0
    row[REVERSAL] = -row[MOMENTUM]
    row[REVERSAL + 1] = -row[MOMENTUM + 1]
    row[TECHNICAL + 7] = 100.0 * row[MOMENTUM + 2]
    row[TECHNICAL + 8] = 100.0 * row[MOMENTUM + 3]


@njit(cache=True, error_model="numpy")
def averages(s: Floats, i: int, row: Floats) -> None:
    """Distances between the close and its averages; one pass over 60 closes, newest first, serves all of them."""
    close = s[CLOSE, i]
    sums = 0.0
    ma10 = ma20 = ma50 = close
    square = 0.0
    for j in range(60):
        if j == 10:
            ma10 = close + sums / 10.0
        elif j == 20:
            ma20 = close + sums / 20.0
        elif j == 50:
            ma50 = close + sums / 50.0
        d = s[CLOSE, i - j] - close
        sums += d
        if j < 20:
            square += d * d
    ma60 = close + sums / 60.0
    shift = ma20 - close
    spread = math.sqrt(max(square / 20.0 - shift * shift, 0.0))
    row[REVERSAL + 2] = close / ma20 - 1.0
    row[REVERSAL + 3] = close / ma60 - 1.0
    row[REVERSAL + 4] = (close - ma20) / (2.0 * spread) if spread > TINY * close else 0.0
    row[TECHNICAL] = ma10 / ma20 - 1.0
    row[TECHNICAL + 1] = ma20 / ma50 - 1.0
    row[TREND + 5] = s[CLOSE, i - 11] / ma20 - 1.0


@njit(cache=True, error_model="numpy")
def volatility(s: Floats, i: int, row: Floats) -> None:
    """Spreads of returns and of ranges; 60 returns in one pass, 20 of everything else in another."""
    total = square = 0.0
    first = s[RETURN, i]
    vol20 = 0.0
    for j in range(60):
        if j == 20:
            vol20 = math.sqrt(max(square - total * total / 20.0, 0.0) / 19.0)
        d = s[RETURN, i - j] - first
        total += d
        square += d * d
    vol60 = math.sqrt(max(square - total * total / 60.0, 0.0) / 59.0)
    down = up = ranges = bodies = 0.0
    for t in range(i - 19, i + 1):
        low, high = min(s[RETURN, t], 0.0), max(s[RETURN, t], 0.0)
        down += low * low
        up += high * high
        ranges += s[LOGHL, t] * s[LOGHL, t]
        bodies += s[LOGCO, t] * s[LOGCO, t]
    row[VOLATILITY] = s[VOL5, i]
    row[VOLATILITY + 1] = vol20
    row[VOLATILITY + 2] = vol60
    row[VOLATILITY + 3] = deviation(s, VOL5, i, 20)
    row[VOLATILITY + 4] = math.sqrt(down / 20.0)
    row[VOLATILITY + 5] = math.sqrt(up / 20.0)
    row[VOLATILITY + 6] = s[VOL5, i] / vol60 if vol60 > TINY else 1.0
    row[VOLATILITY + 7] = math.sqrt(ranges / 20.0 * PARKINSON)
    row[VOLATILITY + 8] = math.sqrt(max(0.5 * ranges - GARMAN * bodies, 0.0) / 20.0)


@njit(cache=True, error_model="numpy")
def oscillators(s: Floats, i: int, row: Floats) -> None:
    """Stochastic, Williams and commodity channel: the middle where the window is flat."""
    row[REVERSAL + 6] = (s[FAST_K, i] + s[FAST_K, i - 1] + s[FAST_K, i - 2]) / 3.0
    row[REVERSAL + 7] = s[FAST_K, i] - 100.0
    middle = mean(s, TYPICAL, i, 20)
    away = 0.0
    for t in range(i - 19, i + 1):
        away += abs(s[TYPICAL, t] - middle)
    away /= 20.0
    flat = away <= TINY * middle
    row[TECHNICAL + 6] = 0.0 if flat else (s[TYPICAL, i] - middle) / (0.015 * away)


@njit(cache=True, error_model="numpy")
def aroon(s: Floats, i: int, row: Floats) -> None:
    """How lately the highest high and the lowest low of 26 bars stood; of equals the latest counts."""
    top = bottom = i
    for t in range(i - 1, i - 26, -1):
        if s[HIGH, t] > s[HIGH, top]:
            top = t
        if s[LOW, t] < s[LOW, bottom]:
            bottom = t
    row[TECHNICAL + 10] = 4.0 * (25 - (i - top))
    row[TECHNICAL + 11] = 4.0 * (25 - (i - bottom))
    row[TECHNICAL + 12] = row[TECHNICAL + 10] - row[TECHNICAL + 11]


@njit(cache=True, error_model="numpy")
def money_flow(s: Floats, i: int, row: Floats) -> None:
    """Money flow index of 14 bars; 50 where no money flowed."""
    inward = outward = 0.0
    for t in range(i - 13, i + 1):
        money = s[TYPICAL, t] * s[VOLUME, t]
        # Equal sums of different prices round apart: that is no change.
        change, rounding = s[TYPICAL, t] - s[TYPICAL, t - 1], TINY * s[TYPICAL, t]
        if change > rounding:
            inward += money
        elif change < -rounding:
            outward += money
    both = inward + outward
    row[TECHNICAL + 9] = 100.0 * inward / both if both > 0.0 else 50.0


@njit(cache=True, error_model="numpy")
def slope(s: Floats, row: int, i: int, n: int) -> float:
    """Least squares slope per bar of the n values up to i."""
    last = s[row, i]
    total = 0.0
    centre = 0.5 * (n - 1)
    for t in range(i - n + 1, i + 1):
        total += (t - (i - n + 1) - centre) * (s[row, t] - last)
    steepness: float = total * 12.0 / (n * (n * n - 1.0))
    return steepness


@njit(cache=True, error_model="numpy")
def trends(s: Floats, i: int, row: Floats) -> None:
    """Slopes of the close relative to its mean, their fit, and the cloud."""
    row[TREND] = slope(s, CLOSE, i, 10) / mean(s, CLOSE, i, 10)
    steep = slope(s, CLOSE, i, 20)
    middle = mean(s, CLOSE, i, 20)
    row[TREND + 1] = steep / middle
    row[TREND + 2] = slope(s, CLOSE, i, 60) / mean(s, CLOSE, i, 60)
    spread = deviation(s, CLOSE, i, 20)
    fitted = steep * steep * 35.0  # 35 is the variance of 0..19
    row[TREND + 3] = min(fitted / (spread * spread), 1.0) if spread > TINY * middle else 0.0
    conversion = s[CONVERSION, i]
    base = 0.5 * (highest(s, HIGH, i, 26) + lowest(s, LOW, i, 26))
    base_then = 0.5 * (highest(s, HIGH, i - 26, 26) + lowest(s, LOW, i - 26, 26))
    span_a, span_b = 0.5 * (s[CONVERSION, i - 26] + base_then), s[SPAN_B, i - 26]
    close = s[CLOSE, i]
    above = close > max(span_a, span_b) and conversion > base
    below = close < min(span_a, span_b) and conversion < base
    row[TREND + 7] = 1.0 if above else (-1.0 if below else 0.0)
