"""94 features of a year of minutes; and the subset that pandas, polars and ours define alike, in the same run."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from bench import candles
from workers.kernels import features

BARS = 525_600
ROUNDS = 3
SPANS = (1, 5, 10, 20, 30, 60, 90, 120, 180, 252)


def measure() -> list[dict[str, Any]]:
    """The time of everything, and everything of ours beside a part of it by each peer."""
    import pandas as pd
    import polars as pl

    o, h, l, c, v = candles.bars(BARS)  # noqa: E741
    columns = {"o": o, "h": h, "l": l, "c": c, "v": v}
    works: dict[str, Callable[[], Any]] = {
        "ours": lambda: features.compute(o, h, l, c, v),
        "pandas": lambda: by_pandas(pd.DataFrame(columns)),
        "polars": lambda: by_polars(pl.DataFrame(columns)),
    }
    features.compute(o[:300], h[:300], l[:300], c[:300], v[:300])
    results: dict[str, Any] = {}
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            results.pop(name, None)
            start = time.perf_counter()
            results[name] = work()
            times[name].append(time.perf_counter() - start)
    return [row(name, results, {each: median(found) for each, found in times.items()}) for name in ("pandas", "polars")]


def row(peer: str, results: Any, times: dict[str, float]) -> dict[str, Any]:
    """One row, after comparing each common column."""
    theirs = results[peer]
    for name in theirs.columns:
        ours = results["ours"][:, features.NAMES.index(name)]
        column = theirs[name].to_numpy()
        both = np.isfinite(ours) & np.isfinite(column)
        assert both.mean() > 0.7
        # Peers keep running sums, which drift: the tolerance is theirs.
        assert np.quantile(np.abs(ours[both] - column[both]), 0.99) <= 1e-6 * (1 + np.abs(ours[both]).max()), name
    return {
        "figure": f"features_{peer}",
        "ours": round(times["ours"], 2),
        "unit": "s",
        "peer": f"{peer}, {len(theirs.columns)} of the 94",
        "theirs": round(times[peer], 2),
        "ratio": times[peer] / times["ours"],
        "n": BARS,
        "note": f"all 94 on {features.THREADS} threads; {peer} the common {len(theirs.columns)}; ≤ 1.5 s",
    }


def by_pandas(bars: Any) -> Any:
    """What pandas says in its own words."""
    import pandas as pd

    h, low, c, v = bars.h, bars.l, bars.c, bars.v
    r = np.log(c / c.shift(1))
    x = {f"mom_{n}d": c / c.shift(n) - 1 for n in SPANS}
    x |= {f"vol_{n}d": r.rolling(n).std() for n in (5, 20, 60)}
    x["mom_consistency"] = (r > 0).astype(float).rolling(20).mean()
    x["dist_ma20"] = c / c.rolling(20).mean() - 1
    x["dist_ma60"] = c / c.rolling(60).mean() - 1
    x["williams_r"] = -100 * (h.rolling(14).max() - c) / (h.rolling(14).max() - low.rolling(14).min())
    x["vol_of_vol"] = x["vol_5d"].rolling(20).std()
    x["downside_vol"] = np.sqrt((r.clip(upper=0) ** 2).rolling(20).mean())
    x["upside_vol"] = np.sqrt((r.clip(lower=0) ** 2).rolling(20).mean())
    x["parkinson_vol"] = np.sqrt((np.log(h / low) ** 2).rolling(20).mean() / (4 * np.log(2)))
    x["volume_vol"] = v.rolling(20).std() / v.rolling(20).mean()
    x["pv_corr"] = r.rolling(20).corr(v)
    x["ma10_ma20"] = c.rolling(10).mean() / c.rolling(20).mean() - 1
    x["ma20_ma50"] = c.rolling(20).mean() / c.rolling(50).mean() - 1
    x["spread_mean"] = ((h - low) / c).rolling(20).mean()
    x["spread_vol"] = ((h - low) / c).rolling(20).std()
    x["order_imbalance"] = (v * np.sign(c.diff())).rolling(20).sum() / v.rolling(20).sum()
    x["price_efficiency"] = c.diff(20).abs() / c.diff().abs().rolling(20).sum()
    x["sharpe_60d"] = r.rolling(60).mean() / r.rolling(60).std()
    x["var_95"] = -r.rolling(60).quantile(0.05)
    x["gap"] = bars.o / c.shift(1) - 1
    return pd.DataFrame(x)


def by_polars(bars: Any) -> Any:
    """The same in polars, lazily, on all its threads."""
    import polars as pl

    frame = bars.lazy().with_columns(r=(pl.col("c") / pl.col("c").shift(1)).log(), d=pl.col("c").diff())
    h, low, c, v, r, d = (pl.col(name) for name in ("h", "l", "c", "v", "r", "d"))
    top, bottom = h.rolling_max(14), low.rolling_min(14)
    spread = (h - low) / c
    x = {f"mom_{n}d": c / c.shift(n) - 1 for n in SPANS}
    x |= {f"vol_{n}d": r.rolling_std(n) for n in (5, 20, 60)}
    x["mom_consistency"] = (r > 0).cast(pl.Float64).rolling_mean(20)
    x["dist_ma20"] = c / c.rolling_mean(20) - 1
    x["dist_ma60"] = c / c.rolling_mean(60) - 1
    x["williams_r"] = -100 * (top - c) / (top - bottom)
    x["vol_of_vol"] = r.rolling_std(5).rolling_std(20)
    x["downside_vol"] = (r.clip(upper_bound=0) ** 2).rolling_mean(20).sqrt()
    x["upside_vol"] = (r.clip(lower_bound=0) ** 2).rolling_mean(20).sqrt()
    x["parkinson_vol"] = (((h / low).log() ** 2).rolling_mean(20) / (4 * np.log(2))).sqrt()
    x["volume_vol"] = v.rolling_std(20) / v.rolling_mean(20)
    x["pv_corr"] = pl.rolling_corr("r", "v", window_size=20)
    x["ma10_ma20"] = c.rolling_mean(10) / c.rolling_mean(20) - 1
    x["ma20_ma50"] = c.rolling_mean(20) / c.rolling_mean(50) - 1
    x["spread_mean"] = spread.rolling_mean(20)
    x["spread_vol"] = spread.rolling_std(20)
    x["order_imbalance"] = (v * d.sign()).rolling_sum(20) / v.rolling_sum(20)
    x["price_efficiency"] = c.diff(20).abs() / d.abs().rolling_sum(20)
    x["sharpe_60d"] = r.rolling_mean(60) / r.rolling_std(60)
    x["var_95"] = -r.rolling_quantile(0.05, "linear", 60)
    x["gap"] = pl.col("o") / c.shift(1) - 1
    return frame.select(**x).collect()
