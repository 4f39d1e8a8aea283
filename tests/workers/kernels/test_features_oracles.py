"""Every feature beside an independent computation on real candles: TA-Lib where it has one, else pandas or NumPy."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import talib

from tests.workers.kernels.candles import bars
from workers.kernels import features

Oracle = Callable[["Bars"], Any]


class Bars:
    """The recording as NumPy arrays in small letters, and what many formulas share as pandas series."""

    def __init__(self) -> None:
        self.o, self.h, self.l, self.c, self.v = bars()
        self.close, self.volume = pd.Series(self.c), pd.Series(self.v)
        self.r = np.log(self.close / self.close.shift(1))
        self.typical = pd.Series((self.h + self.l + self.c) / 3)
        self.signed = self.volume * np.sign(self.close.diff())
        self.usual = self.volume.rolling(20).mean()

    def macd(self) -> Any:
        return talib.MACD(self.c, 12, 26, 9)

    def window(self, n: int, work: Callable[[Any], float], series: Any = None) -> Any:
        """`work` of the newest n values at every bar."""
        values = np.asarray(self.r if series is None else series)
        rows = np.lib.stride_tricks.sliding_window_view(values, n)
        return np.concatenate(
            [np.full(n - 1, np.nan), [work(row) if np.isfinite(row).all() else np.nan for row in rows]]
        )


@cache
def recording() -> Bars:
    return Bars()


@cache
def computed() -> Any:
    return features.compute(*bars())


def slope(b: Bars, series: Any, n: int) -> Any:
    return talib.LINEARREG_SLOPE(np.ascontiguousarray(np.asarray(series, dtype=float)), n)


def drawdowns(closes: Any) -> Any:
    return 1 - closes / np.maximum.accumulate(closes)


def hurst(r: Any) -> float:
    points = []
    for size in (15, 30, 60):
        parts = r.reshape(-1, size)
        walks = np.cumsum(parts - parts.mean(axis=1, keepdims=True), axis=1)
        reach = np.maximum(walks.max(axis=1), 0) - np.minimum(walks.min(axis=1), 0)
        spread = parts.std(axis=1)
        points.append(np.log(np.mean(reach[spread > 1e-12] / spread[spread > 1e-12])))
    return float(np.polyfit(np.log([15, 30, 60]), points, 1)[0])


def approximate_entropy(r: Any, m: int = 2) -> float:
    near = 0.2 * r.std(ddof=1)

    def phi(m: int) -> float:
        vectors = np.lib.stride_tricks.sliding_window_view(r, m)
        away = np.abs(vectors[:, None] - vectors[None]).max(axis=2)
        return float(np.log((away <= near).mean(axis=1)).mean())

    return phi(m) - phi(m + 1)


def lyapunov(r: Any) -> float:
    vectors = np.lib.stride_tricks.sliding_window_view(r, 2)
    away = np.abs(vectors[:, None] - vectors[None]).max(axis=2)
    apart = away[:-1, :-1].copy()
    places = np.arange(len(apart))
    apart[np.abs(places[:, None] - places) < 2] = np.inf
    apart[apart == 0] = np.inf
    nearest = apart.argmin(axis=1)
    after = away[places + 1, nearest + 1]
    used = (after > 0) & np.isfinite(apart.min(axis=1))
    return float(np.mean(np.log(after[used] / apart.min(axis=1)[used]))) if used.any() else 0.0


def spectral_entropy(r: Any) -> float:
    power = np.abs(np.fft.rfft(r - r.mean())[1:]) ** 2
    share = power[power > 0] / power.sum()
    return float(-(share * np.log(share)).sum() / np.log(10))


def shannon(r: Any) -> float:
    counts = np.histogram(r, 8)[0] / 20
    return float(-(counts[counts > 0] * np.log(counts[counts > 0])).sum() / np.log(8))


def sevcik(c: Any) -> float:
    y = (c - c.min()) / (c.max() - c.min())
    return float(1 + np.log(np.hypot(np.diff(y), 1 / 19).sum()) / np.log(38))


def engulf(b: Bars, side: int) -> Any:
    body, before = b.close - b.o, (b.close - b.o).shift(1)
    covers = (side * (b.o - b.close.shift(1)) <= 0) & (side * (b.close - pd.Series(b.o).shift(1)) >= 0)
    return ((side * before < 0) & (side * body > 0) & covers & (body.abs() > before.abs())).astype(float)


def shadows(b: Bars, side: int) -> Any:
    body, reach = abs(b.c - b.o), b.h - b.l
    under, over = np.minimum(b.o, b.c) - b.l, b.h - np.maximum(b.o, b.c)
    long, short = (under, over) if side > 0 else (over, under)
    shape = (long >= 2 * body) & (long >= 0.5 * reach) & (short <= 0.1 * reach)
    return ((reach > 0) & shape).astype(float)


def ichimoku(b: Bars) -> Any:
    def middle(n: int) -> Any:
        return (pd.Series(b.h).rolling(n).max() + pd.Series(b.l).rolling(n).min()) / 2

    conversion, base = middle(9), middle(26)
    spans = pd.concat([((conversion + base) / 2).shift(26), middle(52).shift(26)], axis=1)
    above = (b.close > spans.max(axis=1)) & (conversion > base)
    return above.astype(float) - ((b.close < spans.min(axis=1)) & (conversion < base)).astype(float)


def force(b: Bars) -> Any:
    raw = (b.close.diff() * b.volume).to_numpy()
    smooth = np.concatenate([[np.nan], talib.EMA(raw[1:], 13)])
    return smooth / (b.c * b.usual)


def five_to_one(r: Any) -> float:
    return float(np.var(np.convolve(r, np.ones(5), "valid"), ddof=1) / (5 * np.var(r, ddof=1)))


def parkinson(b: Bars) -> Any:
    return np.sqrt(pd.Series(np.log(b.h / b.l) ** 2).rolling(20).mean() / (4 * np.log(2)))


def garman(b: Bars) -> Any:
    terms = 0.5 * np.log(b.h / b.l) ** 2 - (2 * np.log(2) - 1) * np.log(b.c / b.o) ** 2
    return np.sqrt(pd.Series(terms).rolling(20).mean().clip(lower=0))


def flow(b: Bars) -> Any:
    return talib.AD(b.h, b.l, b.c, b.v)


def amihud(b: Bars) -> Any:
    each = pd.Series(np.where(b.v > 0, 1e6 * b.r.abs() / (b.c * np.where(b.v > 0, b.v, 1)), np.nan))
    return each.rolling(20, min_periods=1).mean()


def spanned(work: Callable[["Bars", int], Any], n: int) -> Oracle:
    return lambda b: work(b, n)


def doji(b: Bars) -> Any:
    return (abs(b.c - b.o) <= 0.1 * (b.h - b.l)).astype(float)


def inside(b: Bars) -> Any:
    h, low = pd.Series(b.h), pd.Series(b.l)
    return ((h <= h.shift(1)) & (low >= low.shift(1)) & (h - low < (h - low).shift(1))).astype(float)


ORACLES: dict[str, Oracle] = {
    **{f"mom_{n}d": spanned(lambda b, n: talib.ROCP(b.c, n), n) for n in (1, 5, 10, 20, 30, 60, 90, 120, 180, 252)},
    "mom_accel": lambda b: b.close.pct_change(10) - b.close.pct_change(10).shift(10),
    "mom_consistency": lambda b: (b.r > 0).rolling(20).mean(),
    "rev_1d": lambda b: -b.close.pct_change(1),
    "rev_5d": lambda b: -b.close.pct_change(5),
    "dist_ma20": lambda b: b.c / talib.SMA(b.c, 20) - 1,
    "dist_ma60": lambda b: b.c / talib.SMA(b.c, 60) - 1,
    "bb_position": lambda b: b.window(20, lambda w: (w[-1] - w.mean()) / (2 * w.std()), b.c),
    "rsi": lambda b: talib.RSI(b.c, 14),
    "stoch": lambda b: talib.STOCH(b.h, b.l, b.c, 14, 3, talib.MA_Type.SMA, 1, talib.MA_Type.SMA)[0],
    "williams_r": lambda b: talib.WILLR(b.h, b.l, b.c, 14),
    **{f"vol_{n}d": spanned(lambda b, n: b.window(n, lambda w: w.std(ddof=1)), n) for n in (5, 20, 60)},
    "vol_of_vol": lambda b: b.window(20, lambda w: w.std(ddof=1), b.window(5, lambda w: w.std(ddof=1))),
    "downside_vol": lambda b: b.window(20, lambda w: np.sqrt((np.minimum(w, 0) ** 2).mean())),
    "upside_vol": lambda b: b.window(20, lambda w: np.sqrt((np.maximum(w, 0) ** 2).mean())),
    "vol_ratio": lambda b: b.window(60, lambda w: w[-5:].std(ddof=1) / w.std(ddof=1)),
    "parkinson_vol": parkinson,
    "gk_vol": garman,
    "atr": lambda b: talib.NATR(b.h, b.l, b.c, 14) / 100,
    "volume_trend_20d": lambda b: slope(b, b.v, 20) / b.usual,
    "volume_trend_60d": lambda b: slope(b, b.v, 60) / b.volume.rolling(60).mean(),
    "volume_vol": lambda b: b.window(20, lambda w: w.std(ddof=1) / w.mean(), b.v),
    "pv_corr": lambda b: b.r.rolling(20).corr(b.volume),
    "obv_trend": lambda b: slope(b, talib.OBV(b.c, b.v), 20) / b.usual,
    "vwap_dev": lambda b: b.c / ((b.typical * b.v).rolling(20).sum() / b.volume.rolling(20).sum()) - 1,
    "ad_trend": lambda b: slope(b, flow(b), 20) / b.usual,
    "force_index": force,
    "ma10_ma20": lambda b: talib.SMA(b.c, 10) / talib.SMA(b.c, 20) - 1,
    "ma20_ma50": lambda b: talib.SMA(b.c, 20) / talib.SMA(b.c, 50) - 1,
    "macd": lambda b: b.macd()[0] / b.c,
    "macd_signal": lambda b: b.macd()[1] / b.c,
    "macd_histogram": lambda b: b.macd()[2] / b.c,
    "adx": lambda b: talib.ADX(b.h, b.l, b.c, 14),
    "cci": lambda b: talib.CCI(b.h, b.l, b.c, 20),
    "roc_10d": lambda b: talib.ROC(b.c, 10),
    "roc_20d": lambda b: talib.ROC(b.c, 20),
    "mfi": lambda b: talib.MFI(b.h, b.l, b.c, 1e6 * b.v, 14),  # TA-Lib says 0 below a flow of 1
    "aroon_up": lambda b: talib.AROON(b.h, b.l, 25)[1],
    "aroon_down": lambda b: talib.AROON(b.h, b.l, 25)[0],
    "aroon_osc": lambda b: talib.AROONOSC(b.h, b.l, 25),
    "chaikin_osc": lambda b: talib.ADOSC(b.h, b.l, b.c, b.v, 3, 10) / b.usual,
    "ppo": lambda b: 100 * b.macd()[0] / talib.EMA(b.c, 26),
    "higher_highs": lambda b: (pd.Series(b.h).diff() > 0).rolling(10).mean(),
    "lower_lows": lambda b: (pd.Series(b.l).diff() < 0).rolling(10).mean(),
    "range_expansion": lambda b: b.window(20, lambda w: w[-1] / w.mean(), b.h - b.l),
    "gap": lambda b: b.o / b.close.shift(1) - 1,
    "doji": doji,
    "hammer": lambda b: shadows(b, 1),
    "shooting_star": lambda b: shadows(b, -1),
    "bullish_engulf": lambda b: engulf(b, 1),
    "bearish_engulf": lambda b: engulf(b, -1),
    "inside_bar": inside,
    "spread_mean": lambda b: pd.Series((b.h - b.l) / b.c).rolling(20).mean(),
    "spread_vol": lambda b: b.window(20, lambda w: w.std(ddof=1), (b.h - b.l) / b.c),
    "roll_spread": lambda b: 2 * np.sqrt(b.window(21, lambda w: max(-np.cov(w[1:], w[:-1])[0, 1], 0))),
    "amihud_illiq": amihud,
    "kyle_lambda": lambda b: b.r.rolling(20).cov(b.signed) / b.signed.rolling(20).var() * b.usual,
    "order_imbalance": lambda b: b.signed.rolling(20).sum() / b.volume.rolling(20).sum(),
    "price_efficiency": lambda b: b.close.diff(20).abs() / b.close.diff().abs().rolling(20).sum(),
    "info_share": lambda b: b.window(60, five_to_one),
    "sharpe_60d": lambda b: b.window(60, lambda w: w.mean() / w.std(ddof=1)),
    "sortino_60d": lambda b: b.window(60, lambda w: w.mean() / np.sqrt((np.minimum(w, 0) ** 2).mean())),
    "max_drawdown": lambda b: b.window(61, lambda w: drawdowns(w).max(), b.c),
    "var_95": lambda b: -b.r.rolling(60).quantile(0.05),
    "cvar_95": lambda b: b.window(60, lambda w: -np.sort(w)[:3].mean()),
    "skewness": lambda b: b.r.rolling(60).skew(),
    "kurtosis": lambda b: b.r.rolling(60).kurt(),
    "omega": lambda b: b.window(60, lambda w: np.maximum(w, 0).sum() / np.maximum(-w, 0).sum()),
    "calmar": lambda b: b.window(61, lambda w: (w[-1] / w[0] - 1) / drawdowns(w).max(), b.c),
    "ulcer_index": lambda b: b.window(61, lambda w: 100 * np.sqrt((drawdowns(w) ** 2).mean()), b.c),
    **{f"trend_slope_{n}d": spanned(lambda b, n: slope(b, b.c, n) / talib.SMA(b.c, n), n) for n in (10, 20, 60)},
    "trend_r2": lambda b: b.window(20, lambda w: np.corrcoef(w, np.arange(20))[0, 1] ** 2, b.c),
    "hurst": lambda b: b.window(60, hurst),
    "dpo": lambda b: b.close.shift(11) / talib.SMA(b.c, 20) - 1,
    "psar_signal": lambda b: np.sign(b.c - talib.SAR(b.h, b.l, 0.02, 0.2)),
    "ichimoku_signal": ichimoku,
    "entropy": lambda b: b.window(20, shannon),
    "fractal_dim": lambda b: b.window(20, sevcik, b.c),
    "approx_entropy": lambda b: b.window(20, approximate_entropy),
    "spectral_entropy": lambda b: b.window(20, spectral_entropy),
    "lyapunov": lambda b: b.window(20, lyapunov),
}


def test_every_feature_has_an_oracle() -> None:
    assert tuple(ORACLES) == features.NAMES


@pytest.mark.parametrize("name", features.NAMES)
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_equals_the_oracle(name: str) -> None:
    place = features.NAMES.index(name)
    ours = computed()[:, place]
    theirs = np.asarray(ORACLES[name](recording()), dtype=float)
    both = np.isfinite(ours) & np.isfinite(theirs)
    # An oracle leaves out flat windows and its own warm-up; every other bar is compared.
    assert both.sum() >= 0.75 * len(ours)
    np.testing.assert_allclose(ours[both], theirs[both], rtol=1e-6, atol=1e-9)
