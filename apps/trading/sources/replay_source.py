"""Candles of a recording, as they were recorded: a CSV file of opened_ms, open, high, low, close, volume."""

import csv
import gzip
from datetime import datetime
from pathlib import Path

from apps.trading.errors import CandleRefused
from workers.protocol.clock import unix_ms

COLUMNS = ["opened_ms", "open", "high", "low", "close", "volume"]
Row = tuple[int, float, float, float, float, float]


class ReplaySource:
    """One recording of one pair. It holds what it holds: gaps and bad rows are the ingest's to find."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, pair: str, since: datetime | None, until: datetime | None) -> list[Row]:
        """The bars that opened from `since` and before `until`; None is no bound. Raises CandleRefused."""
        low = unix_ms(since) if since else None
        high = unix_ms(until) if until else None
        return [row for row in self._read(pair) if (low is None or row[0] >= low) and (high is None or row[0] < high)]

    def _read(self, pair: str) -> list[Row]:
        if f"-{pair.lower()}-" not in self.path.name:
            raise CandleRefused(f"{self.path.name} is no recording of {pair}.")
        with gzip.open(self.path, "rt", newline="") as file:
            reader = csv.reader(file)
            if next(reader, None) != COLUMNS:
                raise CandleRefused(f"{self.path.name} does not have the columns {', '.join(COLUMNS)}.")
            return [(int(at), *map(float, values)) for at, *values in reader]  # type: ignore[misc]
