"""The 94 features of one-minute bars: definitions in features.toml, arithmetic in the modules beside.

The batch and the live tail run one step, bar by bar, over the same state and windows, so they agree bit for bit when
they begin at the same bar. A feature is NaN until it has seen as many bars as its warm-up says.
"""

import hashlib
import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from workers.kernels import features_series
from workers.kernels.features_market import market
from workers.kernels.features_price import prices
from workers.kernels.features_recursive import STATE, recall
from workers.kernels.features_risk import risks
from workers.kernels.features_series import PAD, ROWS, derive

Floats = NDArray[np.float64]

COUNT = 94
MOST_BARS = 5_000_000
# Prices and volumes beyond these would overflow or vanish in squares; no market has them.
LEAST_PRICE, MOST_PRICE = 1e-12, 1e12
MOST_VOLUME = 1e15
ROOM = 1024


class BarsRefused(ValueError):
    """Bars that no market can have, or that do not fit together."""


@dataclass(frozen=True)
class Feature:
    """One definition of features.toml; window and warm-up are in bars."""

    name: str
    group: str
    formula: str
    window: int
    warmup: int
    source: str


def _definitions() -> tuple[Feature, ...]:
    groups: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return tuple(Feature(name, group, **rest) for group, names in groups.items() for name, rest in names.items())


FEATURES = _definitions()
NAMES = tuple(each.name for each in FEATURES)
WARMUP = np.array([each.warmup for each in FEATURES], dtype=np.int64)  # (94,)
LONGEST = int(WARMUP.max())


@njit(cache=True, error_model="numpy", nogil=True)
def _step(s: Floats, i: int, seen: int, memory: tuple[Floats, Floats], warmup: NDArray[np.int64], row: Floats) -> None:
    """Fill row (94,) for column i of s (ROWS, ·), the seen-th bar, of which only the first five values are there."""
    state, work = memory
    derive(s, i)
    recall(s, i, seen, state, row)
    prices(s, i, row)
    market(s, i, row)
    risks(s, i, row, work)
    for k in range(len(warmup)):
        if seen < warmup[k]:
            row[k] = np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def _batch(s: Floats, warmup: NDArray[np.int64], out: Floats) -> None:
    """Fill out (n, 94) from s (ROWS, PAD + n)."""
    memory = (np.zeros(STATE), np.zeros((4, 64)))
    features_series.pad(s)
    for t in range(out.shape[0]):
        _step(s, PAD + t, t + 1, memory, warmup, out[t])


def compute(o: Floats, h: Floats, l: Floats, c: Floats, v: Floats) -> Floats:  # noqa: E741
    """Features (n, 94) of n bars, oldest first; NaN before each one's warm-up. Raises BarsRefused."""
    bars = _checked(o, h, l, c, v)
    n = bars.shape[1]
    out = np.empty((n, COUNT))
    if n:
        s = np.empty((ROWS, PAD + n))
        s[:5, PAD:] = bars
        _batch(s, WARMUP, out)
    return out


def _checked(*columns: Floats) -> Floats:
    """The five columns as (5, n). Raises BarsRefused."""
    try:
        arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    except (TypeError, ValueError) as error:
        raise BarsRefused("bars must be numbers") from error
    if any(array.ndim != 1 or len(array) != len(arrays[0]) for array in arrays):
        raise BarsRefused("open, high, low, close and volume must be of one dimension and equally long")
    bars = np.stack(arrays)
    if bars.shape[1] > MOST_BARS:
        raise BarsRefused(f"{bars.shape[1]} bars are more than {MOST_BARS}")
    opened, high, low, close, volume = bars
    if not np.isfinite(bars).all():
        raise BarsRefused("a price or volume is not a finite number")
    if (bars[:4] < LEAST_PRICE).any() or (bars[:4] > MOST_PRICE).any():
        raise BarsRefused(f"a price is not between {LEAST_PRICE:g} and {MOST_PRICE:g}")
    if (volume < 0).any() or (volume > MOST_VOLUME).any():
        raise BarsRefused(f"a volume is not between 0 and {MOST_VOLUME:g}")
    if (high < np.maximum(opened, close)).any() or (low > np.minimum(opened, close)).any():
        raise BarsRefused("a bar's open or close lies outside its low and high")
    return bars


class Live:
    """The newest bar's features, bar by bar: equal to the last row of `compute` over all bars pushed."""

    def __init__(self) -> None:
        self.seen = 0
        self._at = PAD
        self._series = np.zeros((ROWS, PAD + ROOM))
        self._memory = (np.zeros(STATE), np.zeros((4, 64)))

    def push(self, o: float, h: float, l: float, c: float, v: float) -> Floats:  # noqa: E741
        """Features (94,) after one more bar. Raises BarsRefused, and then remembers nothing of the bar."""
        sound = LEAST_PRICE <= l <= min(o, c) and max(o, c) <= h <= MOST_PRICE and 0 <= v <= MOST_VOLUME
        if not (sound and all(map(math.isfinite, (o, c)))):
            raise BarsRefused(f"no bar has open {o}, high {h}, low {l}, close {c} and volume {v}")
        series = self._series
        if self._at == series.shape[1]:
            series[:, :PAD] = series[:, -PAD:]
            self._at = PAD
        series[:5, self._at] = o, h, l, c, v
        if self.seen == 0:
            features_series.pad(series)
        self.seen += 1
        row = np.empty(COUNT)
        _step(series, self._at, self.seen, self._memory, WARMUP, row)
        self._at += 1
        return row


def digest(row: Iterable[float]) -> str:
    """SHA-256 of the values as decimals of 9 digits, so that the last bits of a machine's logarithms do not matter."""
    words = (f"{float(value) + 0.0:.8e}" if math.isfinite(value) else "nan" for value in row)
    return hashlib.sha256("\n".join(words).encode()).hexdigest()
