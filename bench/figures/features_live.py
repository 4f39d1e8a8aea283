"""The newest bar's 94 features, beside computing them anew from the bars that they look back on."""

import time
from statistics import median
from typing import Any

import numpy as np

from bench import candles
from workers.kernels import features

BARS = 5_000


def measure() -> dict[str, Any]:
    """The median milliseconds of one push."""
    table = candles.bars(BARS)
    live = features.Live()
    bars = table.T.tolist()
    live.push(*bars[0])
    ours, theirs = [], []
    for place, bar in enumerate(bars[1:], 1):
        start = time.perf_counter()
        row = live.push(*bar)
        ours.append(1000 * (time.perf_counter() - start))
        if place >= 300 and place % 100 == 0:
            window = table[:, place - 299 : place + 1]
            start = time.perf_counter()
            features.compute(*window)
            theirs.append(1000 * (time.perf_counter() - start))
    assert row.tobytes() == features.compute(*table)[-1].tobytes()
    return {
        "figure": "features_live",
        "ours": round(median(ours), 4),
        "unit": "ms",
        "peer": "our batch over the newest 300 bars",
        "theirs": round(median(theirs), 3),
        "ratio": median(theirs) / median(ours),
        "n": BARS - 1,
        "note": f"p99 {float(np.percentile(ours, 99)):.3f} ms; equal to the batch bit for bit; goal ≤ 0.3 ms",
    }
