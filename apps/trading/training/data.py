"""Rows to train on: the 94 features of each bar, and the return that followed."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from apps.trading.errors import TradingError
from apps.trading.models import Candle, Source

Array = NDArray[np.float64]
LIMIT = 5.0


class TooFewBars(TradingError):
    """There are too few bars to train on."""

    code = "too_few_bars"
    status = 409


@dataclass(frozen=True)
class Bars:
    """Candles in order, (n, 6): opened (unix ms), open, high, low, close, volume; where they come from; their hash."""

    rows: Array
    label: str

    @property
    def sha256(self) -> str:
        """Of the rows' bytes, little-endian float64."""
        return hashlib.sha256(np.ascontiguousarray(self.rows, "<f8").tobytes()).hexdigest()


def bars(pair: str, until: datetime) -> Bars:
    """The pair's one-minute candles that closed by `until`. A replay's and a live market's are never mixed."""
    newest = Candle.objects.filter(pair=pair, interval_s=60, opened_at__lt=until).order_by("-opened_at").first()
    if newest is None:
        raise TooFewBars(f"There are no candles of {pair}.")
    rows = Candle.objects.filter(
        pair=pair, interval_s=60, opened_at__lt=until, source=newest.source, venue=newest.venue
    ).order_by("opened_at")
    values = rows.values_list("opened_at", "open", "high", "low", "close", "volume")
    table = np.array([(at.timestamp() * 1000, *bar) for at, *bar in values], np.float64)
    said = f"{len(table)} one-minute candles of {pair} on {newest.venue}, {Source(newest.source).label}"
    return Bars(table, said)


@dataclass(frozen=True)
class Rows:
    """Features (n, 94), the return over the horizon that followed each (n,), and the bars' numbers (n,)."""

    features: Array
    follow: Array
    at: NDArray[np.int64]


def rows(table: Array, horizon: int) -> Rows:
    """Every bar with all its features and a known future, `horizon` bars on. Raises TooFewBars."""
    from workers.kernels import features

    columns = [np.ascontiguousarray(table[:, i]) for i in range(1, 6)]
    values = features.compute(*columns)
    close = columns[3]
    known = np.flatnonzero(np.isfinite(values).all(axis=1))
    known = known[known + horizon < len(close)]
    if len(known) < 10 * horizon:
        raise TooFewBars(f"{len(table)} bars leave {len(known)} rows with all features; {10 * horizon} are needed.")
    follow = np.log(close[known + horizon] / close[known])
    return Rows(values[known], follow, known)


@dataclass(frozen=True)
class Scale:
    """Each feature's mean and standard deviation (94,) in the training rows."""

    mean: Array
    spread: Array

    def apply(self, features: Array) -> Array:
        """Standardised and clipped features; one that never varied counts nothing."""
        return np.asarray(np.clip((features - self.mean) / self.spread, -LIMIT, LIMIT))


def scale_of(features: Array) -> Scale:
    """The scale of training rows (n, 94)."""
    spread = features.std(axis=0)
    return Scale(features.mean(axis=0), np.where(spread > 1e-12 * (1 + np.abs(features.mean(axis=0))), spread, np.inf))
