"""How often each detector speaks on real recordings: `python -m bench.false_alarms` writes what the pages show.

No incident is known in the recordings, so whatever a detector says counts as false. Real changes are among them, so the
rates are upper bounds. Windows overlap, so the cases are not independent.
"""

import gzip
import json
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from workers.kernels import detectors
from workers.kernels.detection import COMPOSITE, KINDS, LATENCY_ANOMALY, ROUTE_CHANGE, TREND_SHIFT, Detection

RECORDINGS = Path(__file__).resolve().parents[1] / "platform/meshwork/recordings"
RESULT = RECORDINGS / "false-alarms.json"
COMMAND = "python -m bench.false_alarms"
SECONDS_A_DAY = 86_400
SCAN_EVERY_S = 900
STORED_FROM = 0.55

Series = NDArray[np.float64]


class Case(NamedTuple):
    """What was said of one scan: by the detectors, and by the usual rule that does without their care."""

    probe: int
    said: list[Detection]
    naive: bool


def load(name: str) -> dict[str, Any]:
    """One recording."""
    return dict(json.loads(gzip.decompress((RECORDINGS / name).read_bytes())))


def first_packets(series: dict[str, Any]) -> Series:
    """One time a ping, as a scan with one probe sees it; NaN where it stayed unanswered."""
    return np.array([next(iter(times), None) for _, times in series["points"]], dtype=float)


def all_packets(series: dict[str, Any]) -> Series:
    """Every answered packet in order."""
    times = np.array([time for _, times in series["points"] for time in times], dtype=float)
    return times[~np.isnan(times)]


def windows(points: Callable[[dict[str, Any]], Series], least: int, naive: Callable[[Series], bool]) -> list[Case]:
    """Every scan of the pings that has at least `least` points up to it, each judged by what was known by then."""
    cases = []
    for index, series in enumerate(load("ripe-pings.json.gz")["series"]):
        times = points(series)
        for end in range(least, len(times) + 1):
            known = times[:end]
            if np.isnan(known[-1]):
                continue
            found = [detectors.zscore(known), detectors.trend_shift(known)]
            said = [each for each in found if each is not None]
            both = detectors.composite(said)
            cases.append(Case(index, [*said, both] if both else said, naive(known)))
    return cases


def naive_zscore(known: Series) -> bool:
    """By mean and standard deviation of the 50 before."""
    before = known[-51:-1]
    before = before[~np.isnan(before)]
    return bool(abs(known[-1] - before.mean()) >= detectors.Z.threshold * before.std(ddof=1))


def naive_trend(known: Series) -> bool:
    """By the slopes alone, whatever their uncertainty."""
    at = np.arange(20.0)
    before, now = np.polyfit(at, known[-40:-20], 1)[0], np.polyfit(at, known[-20:], 1)[0]
    return bool(abs(now - before) >= detectors.TREND.change * abs(before))


def routes() -> list[Case]:
    """Every traceroute beside the one before it, 15 minutes earlier."""
    cases = []
    for index, series in enumerate(load("ripe-traceroutes.json.gz")["series"]):
        paths = [[dict(zip(("hop", "ip", "rtt_ms"), hop, strict=True)) for hop in hops] for _, hops in series["scans"]]
        for before, now in pairwise(paths):
            found = detectors.route_change(before, now)
            naive = [hop["ip"] for hop in before] != [hop["ip"] for hop in now]
            cases.append(Case(index, [found] if found else [], naive))
    return cases


def counted(cases: list[Case], kind: str) -> dict[str, Any]:
    """How many spoke, of how many, and how many with the confidence from which a signal is stored."""
    said = [each.confidence for case in cases for each in case.said if each.kind == kind]
    stored = sum(confidence >= STORED_FROM for confidence in said)
    rate = len(said) / len(cases)
    return {
        "n": len(cases),
        "alarms": len(said),
        "rate": round(rate, 5),
        "stored": stored,
        "stored_rate": round(stored / len(cases), 5),
        "a_day_per_target": round(rate * SECONDS_A_DAY / SCAN_EVERY_S, 2),
    }


def row(kind: str, cases: list[Case], about: str, rule: str | None) -> dict[str, Any]:
    """One detector's figures; the usual rule's beside it, where there is one."""
    naive = sum(case.naive for case in cases)
    peer = {"rule": rule, "alarms": naive, "rate": round(naive / len(cases), 5)} if rule else None
    return {"kind": kind, "input": about, **counted(cases, kind), "naive": peer}


def measure() -> dict[str, Any]:
    """All figures, as the pages show them."""
    pings = windows(first_packets, int(detectors.Z.minimum) + 1, naive_zscore)
    packets = windows(all_packets, 2 * int(detectors.TREND.width), naive_trend)
    halves = {
        "even probes, on which the floors were set": counted([c for c in pings if c.probe % 2 == 0], LATENCY_ANOMALY),
        "odd probes, held out": counted([c for c in pings if c.probe % 2], LATENCY_ANOMALY),
    }
    anomaly = row(LATENCY_ANOMALY, pings, "first packet of each ping, 240 s apart", "mean and standard deviation")
    every = "every packet of the pings in order: 31 pings a probe are too few for two windows of 20"
    return {
        "command": COMMAND,
        "recordings": [load(name)["recording"] for name in ("ripe-pings.json.gz", "ripe-traceroutes.json.gz")],
        "note": "No incident is known in the recordings: whatever is said counts as false, so the rates are upper "
        "bounds. Windows overlap.",
        "scan_every_s": SCAN_EVERY_S,
        "stored_from": STORED_FROM,
        "detectors": [
            {**anomaly, "halves": halves},
            row(TREND_SHIFT, packets, every, "slopes by least squares, 30% apart"),
            row(ROUTE_CHANGE, routes(), "consecutive traceroutes of 539 probes, 15 min apart", "any hop differs"),
            row(COMPOSITE, packets, f"anomaly and trend together, {every}", None),
        ],
    }


def main() -> int:
    """Measure and write."""
    result = measure()
    assert [each["kind"] for each in result["detectors"]] == list(KINDS)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    sys.stdout.write(RESULT.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
