"""Replays of recordings: measured long ago, fed in the order of market time, and labelled as such wherever they show.

`replay.toml` says which recordings are joined and how their times are laid over one another.
"""

import gzip
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from apps.trading import candles, scans, signals
from apps.trading.models import ScanTarget, Source
from apps.trading.sources.replay_source import ReplaySource


@dataclass(frozen=True)
class Measured:
    """One recorded scan, at its time on the replay's clock."""

    at: datetime
    host: str
    vantage: str
    method: str
    recording: str
    hops: tuple[dict[str, Any], ...]
    total_rtt_ms: float | None


class Replay:
    """The recordings of one `replay.toml`, laid over the candles' time."""

    def __init__(self, path: Path) -> None:
        self.settings = tomllib.loads(path.read_text())
        self.folder = path.parent
        self.step = timedelta(seconds=self.settings["step_s"])
        market = self.settings["market"]
        self.pair, self.venue = str(market["pair"]), str(market["venue"])
        rows = ReplaySource(self.folder / market["file"]).rows(self.pair, None, None)
        self.bars = [list(row) for row in rows]
        first = int(self.bars[0][0]) // 1000 + 60 * int(self.settings["history_bars"])
        self.begins = datetime.fromtimestamp(first, UTC)
        last = datetime.fromtimestamp(int(self.bars[-1][0]) // 1000 + 60, UTC)
        self.ends = min(last, self.begins + timedelta(minutes=int(self.settings["minutes"])))
        self.label = str(self.settings["label"])
        self.scans = sorted((one for part in self.settings["scans"] for one in self.read(part)), key=lambda one: one.at)

    def read(self, part: dict[str, Any]) -> Iterator[Measured]:
        """One recording's scans by the chosen probes."""
        with gzip.open(self.folder / part["file"], "rt") as file:
            recording = json.load(file)
        chosen = [series for series in recording["series"] if series["probe"] in part["probes"]]
        first = min(when for series in chosen for when, _ in series.get("points") or series["scans"])
        offset = self.begins + timedelta(minutes=int(part["starts_at_minute"])) - datetime.fromtimestamp(first, UTC)
        for series in chosen:
            for when, found in series.get("points") or series["scans"]:
                hops, total = measured(found) if "scans" in series else ((), middle(found))
                at = datetime.fromtimestamp(when, UTC) + offset
                name = f"probe {series['probe']}"
                yield Measured(at, recording["target"], name, part["method"], recording["recording"], hops, total)

    def targets(self) -> None:
        """The recorded hosts and the pairs that the replay has them stand for."""
        for part in self.settings["scans"]:
            with gzip.open(self.folder / part["file"], "rt") as file:
                host = json.load(file)["target"]
            ScanTarget.objects.update_or_create(
                host=host, defaults={"category": "recording", "pairs": part["pairs"], "active": False}
            )

    def feed_bars(self, after: datetime | None, until: datetime) -> int:
        """Ingest the candles that closed after the one moment and until the other; returns how many."""
        low = -1 if after is None else int(after.timestamp() * 1000)
        high = int(until.timestamp() * 1000)
        due = [row for row in self.bars if low < int(row[0]) + 60_000 <= high]
        return candles.ingest(Source.REPLAY, self.venue, self.pair, due, until).accepted if due else 0

    def feed_scans(self, after: datetime, until: datetime) -> list[Measured]:
        """Ingest the scans of that time, in order, each followed by the detectors."""
        due = [one for one in self.scans if after < one.at <= until]
        for one in due:
            report = scans.ScanReport(
                host=one.host,
                vantage=one.vantage,
                region="",
                measured_at=one.at,
                hops=list(one.hops),
                total_rtt_ms=one.total_rtt_ms,
                method=one.method,
                recording=one.recording,
            )
            scan = scans.ingest(report, Source.REPLAY, until)
            signals.detect(scan.target, one.vantage, until)
        return due


def middle(rtts: list[float | None]) -> float | None:
    """The median of what was answered."""
    answered = [rtt for rtt in rtts if rtt is not None]
    return median(answered) if answered else None


def measured(hops: list[list[Any]]) -> tuple[tuple[dict[str, Any], ...], float | None]:
    """A recorded path in the form of a scan; its total is the last answering hop's."""
    rows = tuple({"hop": hop, "ip": ip, "rtt_ms": rtt, "masked": False} for hop, ip, rtt in hops)
    return rows, next((row["rtt_ms"] for row in reversed(rows) if row["rtt_ms"] is not None), None)
