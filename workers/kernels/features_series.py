"""The series that the features read, one row each: what a bar gives, and what is derived from it once.

Shape (ROWS, PAD + n): PAD copies of the first bar lie in front, so that no window reads outside; what a feature says
before its warm-up is overwritten with NaN. Windows are summed afresh at every bar, so nothing drifts, and the batch and
the live tail do the same operations in the same order.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PAD = 256  # at least the longest window, 252 bars and one before
OPEN, HIGH, LOW, CLOSE, VOLUME = 0, 1, 2, 3, 4
RETURN, LOGC, LOGHL, LOGCO = 5, 6, 7, 8
TYPICAL, FLOW, RANGE, VOL5, FAST_K, CONVERSION, SPAN_B = 9, 10, 11, 12, 13, 14, 15
SIGNED = 16
ROWS = 17

# A standard deviation of returns below this is rounding, not movement.
TINY = 1e-12
LIMIT = 100.0


@njit(cache=True, error_model="numpy")
def highest(s: Floats, row: int, i: int, n: int) -> float:
    """The largest of the n values up to i."""
    best: float = s[row, i]
    for t in range(i - n + 1, i):
        best = max(best, s[row, t])
    return best


@njit(cache=True, error_model="numpy")
def lowest(s: Floats, row: int, i: int, n: int) -> float:
    """The smallest of the n values up to i."""
    best: float = s[row, i]
    for t in range(i - n + 1, i):
        best = min(best, s[row, t])
    return best


@njit(cache=True, error_model="numpy")
def mean(s: Floats, row: int, i: int, n: int) -> float:
    """The mean of the n values up to i; exactly the value where all are the same."""
    first = s[row, i - n + 1]
    total = 0.0
    for t in range(i - n + 2, i + 1):
        total += s[row, t] - first
    middle: float = first + total / n
    return middle


@njit(cache=True, error_model="numpy")
def deviation(s: Floats, row: int, i: int, n: int) -> float:
    """The sample standard deviation of the n values up to i; exactly 0 where all are the same."""
    first = s[row, i - n + 1]
    total = square = 0.0
    for t in range(i - n + 2, i + 1):
        d = s[row, t] - first
        total += d
        square += d * d
    return math.sqrt(max(square - total * total / n, 0.0) / (n - 1))


@njit(cache=True, error_model="numpy")
def derive(s: Floats, i: int) -> None:
    """Fill column i of the derived rows; the first five rows, and the columns before i, are there."""
    high, low, close, volume = s[HIGH, i], s[LOW, i], s[CLOSE, i], s[VOLUME, i]
    before = s[CLOSE, i - 1]
    s[RETURN, i] = math.log(close / before)
    s[LOGC, i] = math.log(close)
    s[LOGHL, i] = math.log(high / low)
    s[LOGCO, i] = math.log(close / s[OPEN, i])
    s[TYPICAL, i] = (high + low + close) / 3.0
    s[FLOW, i] = ((close - low) - (high - close)) / (high - low) * volume if high > low else 0.0
    s[RANGE, i] = (high - low) / close
    s[SIGNED, i] = volume if close > before else (-volume if close < before else 0.0)
    s[VOL5, i] = deviation(s, RETURN, i, 5)
    top, bottom = highest(s, HIGH, i, 14), lowest(s, LOW, i, 14)
    s[FAST_K, i] = 100.0 * (close - bottom) / (top - bottom) if top > bottom else 50.0
    conversion = highest(s, HIGH, i, 9) + lowest(s, LOW, i, 9)
    s[CONVERSION, i] = 0.5 * conversion
    s[SPAN_B, i] = 0.5 * (highest(s, HIGH, i, 52) + lowest(s, LOW, i, 52))


@njit(cache=True, error_model="numpy")
def pad(s: Floats) -> None:
    """Make the first PAD columns as if the first bar had always stood."""
    for row in range(5):
        for t in range(PAD):
            s[row, t] = s[row, PAD]
    for row in range(5, ROWS):
        for t in range(PAD):
            s[row, t] = 0.0
    close = s[CLOSE, PAD]
    for t in range(PAD):
        s[LOGC, t] = math.log(close)
        s[FAST_K, t] = 50.0
