"""Purged walk-forward splits, Sharpe ratios, and a permutation test by blocks. Pure; the seed is an argument."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def splits(rows: int, folds: int, purge: int, least: int) -> Iterator[tuple[slice, slice]]:
    """(train, test) in the order of time: each test follows its train by `purge` rows, which neither has.

    The first train has `least` rows. Raises ValueError where the rows do not suffice for one row a test.
    """
    room = rows - least - purge
    if folds < 1 or purge < 0 or least < 1 or room < folds:
        raise ValueError(f"{rows} rows do not suffice for {folds} folds after {least} and a purge of {purge}")
    edges = [least + purge + room * fold // folds for fold in range(folds + 1)]
    for start, end in pairwise(edges):
        yield slice(0, start - purge), slice(start, end)


def sharpe(returns: Array) -> float:
    """Mean over standard deviation of returns (n,), not annualised; zero where they do not vary."""
    spread = float(np.std(returns)) if len(returns) else 0.0
    return float(np.mean(returns)) / spread if spread > 1e-15 else 0.0


def permutation_p(positions: Array, returns: Array, block: int, times: int, seed: int) -> float:
    """How often positions (n,) do as well on returns (n,) whose blocks are shuffled: (1 + hits) ÷ (1 + times)."""
    if positions.shape != returns.shape or block < 1 or times < 1:
        raise ValueError("positions and returns have one shape, block and times are positive")
    own = sharpe(positions * returns)
    dice = np.random.default_rng(seed)
    blocks = [returns[start : start + block] for start in range(0, len(returns), block)]
    hits = 0
    for _ in range(times):
        shuffled = np.concatenate([blocks[i] for i in dice.permutation(len(blocks))])
        hits += sharpe(positions * shuffled) >= own
    return (1 + hits) / (1 + times)
