"""Many real bars for figures: the recording forwards and backwards in turn, so that the price never jumps."""

import csv
import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RECORDING = Path(__file__).resolve().parents[1] / "platform/meshwork/recordings/candles-btc-usd-1m.csv.gz"


def bars(n: int) -> NDArray[np.float64]:
    """Open, high, low, close and volume of n minutes: (5, n)."""
    with gzip.open(RECORDING, "rt") as file:
        rows = [[float(word) for word in line[1:]] for line in list(csv.reader(file))[1:]]
    once = np.array(rows).T  # (5, m)
    parts = []
    for turn in range(-(-n // once.shape[1])):
        # Forwards and backwards in turn, so that the price neither jumps nor runs away.
        part = once if turn % 2 == 0 else once[:, ::-1][[3, 1, 2, 0, 4]]
        parts.append(part)
    return np.ascontiguousarray(np.concatenate(parts, axis=1)[:, :n])
