"""The 94 features of one-minute bars: definitions in features.toml, arithmetic in the modules beside.

The batch and the live tail run one step, bar by bar, over the same state and windows, so they agree bit for bit when
they begin at the same bar. A feature is NaN until it has seen as many bars as its warm-up says.
"""

import hashlib
import math
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
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
from workers.kernels.features_risk import SCRATCH, risks
from workers.kernels.features_series import PAD, ROWS, derive

Floats = NDArray[np.float64]

COUNT = 94
MOST_BARS = 5_000_000
# Prices and volumes beyond these would overflow or vanish in squares; no market has them.
LEAST_PRICE, MOST_PRICE = 1e-12, 1e12
MOST_VOLUME = 1e15
ROOM = 1024
THREADS = 2
WORTH_A_THREAD = 20_000


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
def _remember(s: Floats, i: int, seen: int, state: Floats, row: Floats) -> None:
    """For column i of s (ROWS, ·), the seen-th bar: derive its rows, and fill what depends on all bars before."""
    derive(s, i)
    recall(s, i, seen, state, row)


@njit(cache=True, error_model="numpy", nogil=True)
def _look(s: Floats, i: int, seen: int, warmup: NDArray[np.int64], row: Floats, work: Floats) -> None:
    """Fill what windows up to column i say, into row (94,), and take away what is not warm."""
    prices(s, i, row)
    market(s, i, row)
    risks(s, i, row, work)
    for k in range(len(warmup)):
        if seen < warmup[k]:
            row[k] = np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def _remember_all(s: Floats, out: Floats) -> None:
    """The first half of every row of out (n, 94), in order."""
    state = np.zeros(STATE)
    features_series.pad(s)
    for t in range(out.shape[0]):
        _remember(s, PAD + t, t + 1, state, out[t])


@njit(cache=True, error_model="numpy", nogil=True)
def _look_from(s: Floats, start: int, stop: int, warmup: NDArray[np.int64], out: Floats) -> None:
    """The second half of the rows from start to stop, which need nothing of each other."""
    work = np.zeros(SCRATCH)
    for t in range(start, stop):
        _look(s, PAD + t, t + 1, warmup, out[t], work)


def compute(o: Floats, h: Floats, l: Floats, c: Floats, v: Floats) -> Floats:  # noqa: E741
    """Features (n, 94) of n bars, oldest first; NaN before each one's warm-up. Raises BarsRefused."""
    bars = _checked(o, h, l, c, v)
    n = bars.shape[1]
    out = np.empty((n, COUNT))
    if n:
        s = np.empty((ROWS, PAD + n))
        s[:5, PAD:] = bars
        _remember_all(s, out)
        _spread(s, out)
    return out


def _spread(s: Floats, out: Floats) -> None:
    """The windows' features, on both of two cores where there are many rows; the kernels hold no lock."""
    n = len(out)
    if n < WORTH_A_THREAD:
        _look_from(s, 0, n, WARMUP, out)
        return
    with ThreadPoolExecutor(THREADS) as pool:
        edges = [n * k // THREADS for k in range(THREADS + 1)]
        list(pool.map(lambda start, stop: _look_from(s, start, stop, WARMUP, out), edges[:-1], edges[1:]))


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
        self._state, self._work = np.zeros(STATE), np.zeros(SCRATCH)

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
        _remember(series, self._at, self.seen, self._state, row)
        _look(series, self._at, self.seen, WARMUP, row, self._work)
        self._at += 1
        return row


def digest(row: Iterable[float]) -> str:
    """SHA-256 of the values as decimals of 9 digits, so that the last bits of a machine's logarithms do not matter."""
    words = (f"{float(value) + 0.0:.8e}" if math.isfinite(value) else "nan" for value in row)
    return hashlib.sha256("\n".join(words).encode()).hexdigest()
