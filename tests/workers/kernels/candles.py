"""Real bars for the tests of features: the recording that a replay trades on."""

import csv
import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RECORDING = Path(__file__).resolve().parents[3] / "platform/meshwork/recordings/candles-btc-usd-1m.csv.gz"


def bars(n: int = 1_300) -> NDArray[np.float64]:
    """Open, high, low, close, volume of the first n minutes: (5, n)."""
    with gzip.open(RECORDING, "rt") as file:
        rows = [[float(word) for word in line[1:]] for line in list(csv.reader(file))[1 : n + 1]]
    return np.ascontiguousarray(np.array(rows).T)
