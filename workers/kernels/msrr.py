"""MSRR: portfolios over feature-managed returns, by two objectives. Pure; float64; seedless, so deterministic.

Mean-semivariance robust-return utility (the default): w·median - λ·√(wᵀΣ₋w) - costs, over weights in [0, 1] that sum to
one, Σ₋ the covariance of returns clipped above zero, shrunk towards constant correlation.
Maximum-Sharpe-ratio regression: argmin mean((1 - w·R)²) + ridge·‖w‖², whose minimiser is proportional to the portfolio
of the highest Sharpe ratio (Britten-Jones 1999; Kelly and Xiu 2023, 5.3).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Array = NDArray[np.float64]
TINY = 1e-18


@dataclass(frozen=True)
class Utility:
    """The utility's settings: risk aversion, shrinkage, and costs for each unit of turnover and of its square."""

    risk_aversion: float = 1.0
    shrinkage: float = 0.1
    cost: float = 0.001
    impact: float = 0.0001
    iterations: int = 1000
    tolerance: float = 1e-6


def checked(returns: Array, least: int = 2) -> Array:
    """Returns (periods, assets) as float64. Raises ValueError for another shape, too few rows, or NaN."""
    values = np.ascontiguousarray(returns, np.float64)
    if values.ndim != 2 or values.shape[0] < least or values.shape[1] < 1:
        raise ValueError(f"returns have the shape (periods, assets) with {least} periods or more")
    if not np.isfinite(values).all():
        raise ValueError("a return is not finite")
    return values


def downside(returns: Array, shrinkage: float) -> Array:
    """Σ₋ (assets, assets): second moments of what is below zero, shrunk towards equal correlation."""
    clipped = np.minimum(checked(returns), 0.0)
    moments = clipped.T @ clipped / len(clipped)
    scale = np.sqrt(np.maximum(np.diag(moments), TINY))
    correlation = moments / np.outer(scale, scale)
    n = len(scale)
    mean = (correlation.sum() - np.trace(correlation)) / max(n * (n - 1), 1)
    target = np.full((n, n), mean)
    np.fill_diagonal(target, 1.0)
    return np.asarray(np.outer(scale, scale) * ((1 - shrinkage) * correlation + shrinkage * target))


def mean_semivariance(returns: Array, previous: Array | None = None, settings: Utility | None = None) -> Array:
    """Weights (assets,) in [0, 1] that sum to one and have the highest utility. Raises ValueError as `checked` does."""
    values = checked(returns)
    chosen = settings or Utility()
    n = values.shape[1]
    before = np.zeros(n) if previous is None else np.asarray(previous, np.float64)
    if before.shape != (n,):
        raise ValueError("previous weights have the shape (assets,)")
    centre, risk = np.median(values, axis=0), downside(values, chosen.shrinkage)
    # In units of the typical loss, so that the solver's tolerance means the same on every market.
    unit = float(np.sqrt(np.trace(risk) / n)) or 1.0
    centre, risk = centre / unit, risk / unit**2

    def loss(w: Array) -> float:
        moved = np.abs(w - before).sum()
        spread = np.sqrt(max(float(w @ risk @ w), TINY))
        cost = (chosen.cost * moved + chosen.impact * moved**2) / unit
        return float(-(w @ centre) + chosen.risk_aversion * spread + cost)

    def slope(w: Array) -> Array:
        moved, sign = np.abs(w - before).sum(), np.sign(w - before)
        spread = np.sqrt(max(float(w @ risk @ w), TINY))
        cost = sign * (chosen.cost + 2 * chosen.impact * moved) / unit
        return np.asarray(-centre + chosen.risk_aversion * (risk @ w) / spread + cost)

    found = minimize(
        loss,
        np.full(n, 1.0 / n),
        jac=slope,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * n,
        constraints=[{"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": lambda w: np.ones_like(w)}],
        options={"maxiter": chosen.iterations, "ftol": chosen.tolerance},
    )
    weights = np.clip(found.x, 0.0, 1.0)
    total = weights.sum()
    return np.asarray(weights / total if total > 0 else np.full(n, 1.0 / n))


def max_sharpe(returns: Array, ridge: float = 10.0) -> Array:
    """Weights (assets,) of maximum-Sharpe regression; `ridge` in units of the assets' mean sum of squares."""
    values = checked(returns)
    if ridge <= 0:
        raise ValueError("ridge is positive")
    square = values.T @ values
    n = len(square)
    penalty = ridge * max(float(np.trace(square)) / n, TINY)
    return np.asarray(np.linalg.solve(square + penalty * np.eye(n), values.sum(axis=0)))


def managed(features: Array, returns: Array) -> Array:
    """Returns (rows, k) of portfolios that hold each feature's value: x[t, j] · r[t], r being what followed x."""
    rows, follow = np.asarray(features, np.float64), np.asarray(returns, np.float64)
    if rows.ndim != 2 or follow.shape != (len(rows),):
        raise ValueError("features have the shape (rows, k), returns (rows,)")
    return np.asarray(rows * follow[:, None])


def signed(weights: Array) -> Array:
    """Weights (2k,) over portfolios and their opposites as net weights (k,)."""
    half = len(weights) // 2
    return np.asarray(weights[:half] - weights[half:])
