"""MSRR's two objectives against what can be found by other means."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.kernels import msrr, walkforward

FREE = msrr.Utility(cost=0.0, impact=0.0, shrinkage=0.0)


def history(seed: int, *means: float) -> np.ndarray:
    dice = np.random.default_rng(seed)
    return dice.normal(means, 0.01, size=(500, len(means)))


@pytest.mark.parametrize("seed", range(5))
def test_the_utility_of_two_assets_is_the_best_of_a_fine_grid(seed: int) -> None:
    returns = history(seed, 0.001, 0.0012)
    centre, risk = np.median(returns, axis=0), msrr.downside(returns, 0.0)

    def utility(share: float) -> float:
        w = np.array([share, 1 - share])
        return float(w @ centre - np.sqrt(w @ risk @ w))

    best = max(np.linspace(0, 1, 2001), key=utility)
    assert msrr.mean_semivariance(returns, settings=FREE)[0] == pytest.approx(best, abs=0.005)


def test_weights_are_long_only_and_sum_to_one() -> None:
    weights = msrr.mean_semivariance(history(1, *np.linspace(-0.001, 0.001, 20)))
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 0


def test_costs_keep_the_weights_where_they_were() -> None:
    returns, before = history(2, 0.001, 0.0011), np.array([1.0, 0.0])
    dear = msrr.mean_semivariance(returns, before, msrr.Utility(cost=1.0))
    assert np.abs(dear - before).sum() < 0.02
    assert np.abs(msrr.mean_semivariance(returns, before, FREE) - before).sum() > 0.1


def test_losses_count_and_gains_do_not() -> None:
    dice = np.random.default_rng(3)
    swings = np.abs(dice.normal(0, 0.05, 500))
    risk = msrr.downside(np.column_stack([swings, -swings]), 0.0)
    assert risk[0, 0] < 1e-12
    assert risk[1, 1] == pytest.approx(np.mean(swings**2))


def test_maximum_sharpe_regression_finds_the_tangency_portfolio() -> None:
    returns = history(4, 0.001, 0.002, -0.0005)
    weights = msrr.max_sharpe(returns, ridge=1e-9)
    tangency = np.linalg.solve(np.cov(returns.T), returns.mean(axis=0))
    assert weights / np.linalg.norm(weights) == pytest.approx(tangency / np.linalg.norm(tangency), abs=1e-6)


def test_a_ridge_shrinks_the_weights() -> None:
    returns = history(5, 0.001, 0.002)
    small, large = (np.linalg.norm(msrr.max_sharpe(returns, ridge)) for ridge in (1.0, 10_000.0))
    assert large < small / 2


def test_a_portfolio_managed_by_the_right_feature_is_chosen() -> None:
    dice = np.random.default_rng(6)
    features = dice.standard_normal((2000, 10))
    follow = 0.01 * (0.3 * features[:, 4] + dice.standard_normal(2000))
    assert int(np.argmax(np.abs(msrr.max_sharpe(msrr.managed(features, follow))))) == 4


@pytest.mark.parametrize("bad", [np.zeros(5), np.zeros((1, 3)), np.full((5, 2), np.nan), np.full((5, 2), np.inf)])
def test_returns_that_are_none_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="return"):
        msrr.mean_semivariance(bad)


@given(st.integers(20, 400), st.integers(1, 6), st.integers(0, 30), st.integers(1, 100))
def test_no_test_row_is_within_the_purge_of_its_training(rows: int, folds: int, purge: int, least: int) -> None:
    if rows - least - purge < folds:
        with pytest.raises(ValueError, match="suffice"):
            list(walkforward.splits(rows, folds, purge, least))
        return
    found = list(walkforward.splits(rows, folds, purge, least))
    assert len(found) == folds
    assert found[-1][1].stop == rows
    for train, test in found:
        assert (train.start, train.stop + purge) == (0, test.start)
        assert train.stop >= least
    assert all(a[1].stop == b[1].start for a, b in pairwise(found))


def test_a_planted_signal_is_significant_and_noise_is_not() -> None:
    dice = np.random.default_rng(7)
    returns = dice.normal(0, 0.01, 300)
    seen = np.sign(returns + dice.normal(0, 0.02, 300))
    assert walkforward.permutation_p(seen, returns, 1, 500, 1) < 0.01
    chances = [
        walkforward.permutation_p(np.sign(dice.standard_normal(100)), dice.normal(0, 0.01, 100), 1, 100, seed)
        for seed in range(100)
    ]
    assert np.mean(np.array(chances) < 0.05) < 0.12


def test_a_sharpe_ratio_of_what_does_not_vary_is_zero() -> None:
    assert walkforward.sharpe(np.full(10, 0.01)) == 0.0
