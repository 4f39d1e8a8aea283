"""Fitting each objective, and judging it out of sample by purged walk-forward, net of costs."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.trading.models import Objective
from apps.trading.training.data import Rows, Scale, scale_of
from workers.kernels import msrr, walkforward

Array = NDArray[np.float64]
FOLDS, SHUFFLES, COST = 5, 500, 0.001


@dataclass(frozen=True)
class Fitted:
    """A linear score over standardised features: score = clip((x - mean) ÷ spread) · weights + bias."""

    scale: Scale
    weights: Array
    bias: float

    def score(self, features: Array) -> Array:
        """Scores (n,) of features (n, 94); above zero a rise is expected."""
        return np.asarray(self.scale.apply(features) @ self.weights + self.bias)


def baseline(features: Array, follow: Array) -> Fitted:
    """Always the direction that was more frequent in training."""
    ups, downs = int((follow > 0).sum()), int((follow < 0).sum())
    return Fitted(scale_of(features), np.zeros(features.shape[1]), 1.0 if ups >= downs else -1.0)


def semivariance(features: Array, follow: Array) -> Fitted:
    """The weights of highest mean-semivariance robust-return utility, over managed portfolios both ways."""
    scale = scale_of(features)
    held = msrr.managed(scale.apply(features), follow)
    weights = msrr.mean_semivariance(np.concatenate([held, -held], axis=1))
    return Fitted(scale, msrr.signed(weights), 0.0)


def max_sharpe(features: Array, follow: Array) -> Fitted:
    """The weights of maximum-Sharpe regression over the managed portfolios."""
    scale = scale_of(features)
    return Fitted(scale, msrr.max_sharpe(msrr.managed(scale.apply(features), follow)), 0.0)


FITS: dict[Objective, Callable[[Array, Array], Fitted]] = {
    Objective.BASELINE: baseline,
    Objective.SEMIVARIANCE: semivariance,
    Objective.MAX_SHARPE: max_sharpe,
}


@dataclass(frozen=True)
class Judged:
    """Metrics out of sample: Sharpe ratio a trade net of costs, hit rate, summed net return, changes of position."""

    sharpe: float
    hit_rate: float
    total: float
    trades: int

    def as_dict(self) -> dict[str, Any]:
        """For the row."""
        return asdict(self)


@dataclass(frozen=True)
class Trial:
    """One objective's walk-forward: its metrics, each fold's, and the positions and returns behind them."""

    judged: Judged
    folds: list[dict[str, Any]]
    positions: Array
    returns: Array


def walk(objective: Objective, rows: Rows, horizon: int) -> Trial:
    """Fit on the past, judge on what follows a purge of the horizon; one decision each horizon, so none overlap."""
    least = len(rows.follow) // 3
    positions, returns, folds = [], [], []
    for train, test in walkforward.splits(len(rows.follow), FOLDS, horizon, least):
        fitted = FITS[objective](rows.features[train], rows.follow[train])
        chosen = np.arange(test.start, test.stop, horizon)
        held = np.sign(fitted.score(rows.features[chosen]))
        positions.append(held)
        returns.append(rows.follow[chosen])
        folds.append({"trained_on": train.stop, "judged_on": len(chosen), **judge(held, rows.follow[chosen]).as_dict()})
    all_positions, all_returns = np.concatenate(positions), np.concatenate(returns)
    return Trial(judge(all_positions, all_returns), folds, all_positions, all_returns)


def judge(positions: Array, returns: Array) -> Judged:
    """Metrics of positions (n,) held over returns (n,); a change of position costs its size * 0.1%."""
    turned = np.abs(np.diff(positions, prepend=0.0))
    net = positions * returns - COST * turned
    moved = returns != 0
    hits = np.sign(returns[moved]) == positions[moved]
    return Judged(
        sharpe=walkforward.sharpe(net),
        hit_rate=float(hits.mean()) if moved.any() else 0.0,
        total=float(net.sum()),
        trades=int((turned > 0).sum()),
    )
