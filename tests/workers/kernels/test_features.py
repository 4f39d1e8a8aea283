"""The 94 features as a whole: no look into the future, live like batch, defined on flat markets, bad bars refused."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.kernels.candles import bars
from workers.kernels import features
from workers.kernels.features_series import PAD

ALL = bars()
computed = features.compute(*ALL)
CUTS: dict[int, Any] = {}
GROUPS = {
    "momentum": 12,
    "reversal": 8,
    "volatility": 10,
    "volume": 8,
    "technical": 15,
    "patterns": 10,
    "microstructure": 8,
    "risk": 10,
    "trend": 8,
    "statistical": 5,
}
# What a market that never moves says; 0 for every other feature.
STILL = {
    "rsi": 50.0,
    "stoch": 50.0,
    "williams_r": -50.0,
    "vol_ratio": 1.0,
    "mfi": 50.0,
    "aroon_up": 100.0,
    "aroon_down": 100.0,
    "range_expansion": 1.0,
    "doji": 1.0,
    "info_share": 1.0,
    "omega": 1.0,
    "hurst": 0.5,
    "fractal_dim": 1.0,
}


def pushed(table: Any) -> Any:
    live = features.Live()
    return np.array([live.push(*bar) for bar in table.T.tolist()])


def test_there_are_94_in_the_groups_that_were_agreed() -> None:
    assert len(set(features.NAMES)) == features.COUNT == len(features.NAMES)
    assert Counter(each.group for each in features.FEATURES) == GROUPS
    assert {"ppo", "inside_bar"} <= set(features.NAMES)


def test_the_entropy_family_looks_at_no_more_than_20_returns() -> None:
    assert all(each.window <= 21 for each in features.FEATURES if each.group == "statistical")


def test_a_definition_has_a_formula_a_source_and_a_warmup_not_below_its_window() -> None:
    for each in features.FEATURES:
        assert each.formula
        assert each.source
        assert 1 <= each.window <= each.warmup <= features.LONGEST <= PAD


@pytest.mark.parametrize("name", features.NAMES)
def test_begins_at_its_warmup_and_never_stops(name: str) -> None:
    place = features.NAMES.index(name)
    column = computed[:, place]
    first = features.FEATURES[place].warmup - 1
    assert np.isnan(column[:first]).all()
    assert np.isfinite(column[first:]).all()


@pytest.mark.parametrize("name", features.NAMES)
def test_does_not_look_ahead(name: str) -> None:
    place = features.NAMES.index(name)
    for cut in (1, 20, 61, 253, 700, 1_111):
        early = truncated(cut)[:, place]
        assert early.tobytes() == np.ascontiguousarray(computed[:cut, place]).tobytes()


def truncated(cut: int) -> Any:
    """Features of the first `cut` bars when what follows is another market."""
    if cut not in CUTS:
        other = ALL[:, cut:][:, ::-1] * np.array([[3.0], [3.0], [3.0], [3.0], [7.0]])
        CUTS[cut] = features.compute(*np.concatenate([ALL[:, :cut], other], axis=1))[:cut]
        assert CUTS[cut].tobytes() == features.compute(*ALL[:, :cut]).tobytes()
    return CUTS[cut]


@pytest.mark.parametrize("name", features.NAMES)
def test_sees_the_newest_bars(name: str) -> None:
    place = features.NAMES.index(name)
    other = ALL[:, :700].copy()
    other[:, 660:] = ALL[:, 700:740]
    assert (features.compute(*other)[660:, place] != computed[660:700, place]).any()


def test_live_equals_the_batch_bit_for_bit() -> None:
    assert len(ALL[0]) > features.ROOM  # so that the buffer moves
    assert pushed(ALL).tobytes() == computed.tobytes()


def test_two_threads_say_what_one_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "WORTH_A_THREAD", 2)
    assert features.compute(*ALL).tobytes() == computed.tobytes()


def test_a_refused_bar_leaves_live_as_it_was() -> None:
    live = features.Live()
    for bar in ALL[:, :299].T:
        live.push(*bar)
        with pytest.raises(features.BarsRefused):
            live.push(1.0, 1.0, 2.0, 1.0, 1.0)
    assert live.push(*ALL[:, 299]).tobytes() == computed[299].tobytes()


@pytest.mark.parametrize("price", [1e-12, 0.1, 4092.56783507, 1e12])
@pytest.mark.parametrize("volume", [0.0, 0.067335, 1e15])
def test_a_market_that_never_moves_has_defined_values(price: float, volume: float) -> None:
    row = features.compute(*np.full((4, 300), price), np.full(300, volume))[-1]
    expected = [STILL.get(name, 0.0) for name in features.NAMES]
    np.testing.assert_allclose(row, expected, rtol=0, atol=1e-9)


def test_a_market_that_only_rises_stays_within_limits() -> None:
    c = 100 * 1.001 ** np.arange(400)
    row = dict(zip(features.NAMES, features.compute(c, c, c, c, np.ones(400))[-1], strict=True))
    assert all(map(math.isfinite, row.values()))
    assert (row["sortino_60d"], row["omega"], row["calmar"], row["sharpe_60d"]) == (100, 100, 100, 0)
    assert row["rsi"] == pytest.approx(100)


def test_no_bars_give_no_rows() -> None:
    assert features.compute(*np.empty((5, 0))).shape == (0, 94)


@pytest.mark.parametrize(
    ("column", "value"),
    [(k, value) for k in range(4) for value in (math.nan, math.inf, 0.0, -1.0, 1e13)]
    + [(4, value) for value in (math.nan, math.inf, -1.0, 1e16)]
    + [(1, 1.0), (2, 1e6)],
)
def test_refuses_a_bar_that_no_market_has(column: int, value: float) -> None:
    table = ALL[:, :50].copy()
    table[column, 20] = value
    with pytest.raises(features.BarsRefused):
        features.compute(*table)
    with pytest.raises(features.BarsRefused):
        features.Live().push(*table[:, 20])


def test_refuses_columns_that_do_not_fit() -> None:
    o, h, low, c, v = ALL
    with pytest.raises(features.BarsRefused, match="equally long"):
        features.compute(o, h, low, c, v[:-1])
    with pytest.raises(features.BarsRefused, match="one dimension"):
        features.compute(*(column.reshape(2, -1) for column in ALL))
    with pytest.raises(features.BarsRefused, match="numbers"):
        features.compute(o, h, low, c, ["much"] * len(o))  # type: ignore[arg-type]


def test_the_digest_ignores_the_last_bits_and_nothing_else() -> None:
    row = computed[-1]
    nudged = row * (1 + 1e-15)
    assert features.digest(row) == features.digest(nudged) == features.digest(row.tolist())
    other = row.copy()
    other[3] += 1e-5
    assert features.digest(other) != features.digest(row)
    assert features.digest([0.0, math.nan]) == features.digest([-0.0, math.nan]) != features.digest([0.0, 0.0])


@st.composite
def markets(draw: st.DrawFn) -> Any:
    """Bars that a market could have: steps of any size, flat stretches, silence; (5, n)."""
    n = draw(st.integers(1, 320))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.sampled_from([0.0, 1e-9, 1e-4, 0.01, 0.3]))
    still = random.random(n) < draw(st.sampled_from([0.0, 0.5, 0.95]))
    steps = np.where(still, 0.0, random.normal(0, size, n))
    c = draw(st.sampled_from([1e-6, 1.0, 4e4])) * np.exp(np.clip(np.cumsum(steps), -10, 10))
    o = np.concatenate([c[:1], c[:-1]])
    spread = np.where(still, 1.0, np.exp(np.abs(random.normal(0, size, (2, n)))))
    v = np.where(random.random(n) < 0.3, 0.0, random.lognormal(0, 2, n))
    return np.stack([o, np.maximum(o, c) * spread[0], np.minimum(o, c) / spread[1], c, v])


BOUNDS = {
    "mom_consistency": (0, 1),
    "rsi": (0, 100),
    "stoch": (0, 100),
    "williams_r": (-100, 0),
    "pv_corr": (-1, 1),
    "adx": (0, 100),
    "mfi": (0, 100),
    "aroon_osc": (-100, 100),
    "order_imbalance": (-1, 1),
    "price_efficiency": (0, 1),
    "max_drawdown": (0, 1),
    "trend_r2": (0, 1),
    "entropy": (0, 1),
    "spectral_entropy": (0, 1),
    "fractal_dim": (1, 2),
    "psar_signal": (-1, 1),
    "ichimoku_signal": (-1, 1),
}


@settings(max_examples=60, deadline=None)
@given(markets())
def test_any_market_gives_finite_values_within_bounds_live_like_batch(table: Any) -> None:
    out = features.compute(*table)
    assert out.shape == (table.shape[1], 94)
    seen = np.arange(1, len(out) + 1)[:, None] >= features.WARMUP
    assert (np.isfinite(out) == seen).all()
    assert pushed(table).tobytes() == out.tobytes()
    for name, (least, most) in BOUNDS.items():
        column = out[:, features.NAMES.index(name)]
        known = column[~np.isnan(column)]
        assert ((known >= least - 1e-9) & (known <= most + 1e-9)).all(), name
