"""The detectors as an engine: paths in, signals out. Built into the node; it has no model files.

anomaly_detection {host, scans}        → signals of the newest of one path's scans (oldest first)
batch_analysis    {scans}              → signals of many paths, each by its own series
get_signals       {min_confidence, signals} → those that are confident enough
get_accuracy      {hours, outcomes}    → accuracy and total_pnl of judged signals

The rows of the last two come from the platform, sealed with the task: the node only computes. The answer is JSON whose
`response` is the same answer as text, so that whatever shows a generated text can show it.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workers.engines.base import EngineResult, PayloadRefused
from workers.kernels.detection import Detection, MeasurementRefused, band

NAME = "detectors"
MOST_SCANS = 10_000
LEAST_CONFIDENCE = 0.40


class Detectors:
    """One engine for the four kinds; it keeps nothing between tasks."""

    def run(self, kind: str, payload: bytes, params: Mapping[str, Any]) -> EngineResult:
        """Raises PayloadRefused for what is malformed."""
        if kind not in RUNS:
            raise PayloadRefused(f"The detectors do {', '.join(sorted(RUNS))}, not {kind}.")
        try:
            told = RUNS[kind](json.loads(payload))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise PayloadRefused(f"The payload is not what {kind} takes: {error}"[:300]) from error
        answer = {**told, "response": text(told), "eval_count": 0, "prompt_eval_count": 0}
        return EngineResult(text(answer).encode(), items=1, tokens_in=0, tokens_out=0)


def text(value: Any) -> str:
    """JSON in one order, so that two nodes answer byte for byte alike."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def anomaly_detection(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the newest scan of one path."""
    host = str(given["host"])
    return {"host": host, "signals": signals_of(host, _scans(given["scans"]))}


def batch_analysis(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the newest scan of every path, by host."""
    paths: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for scan in _scans(given["scans"]):
        paths[str(scan["host"])].append(scan)
    found = [signal for host in sorted(paths) for signal in signals_of(host, paths[host])]
    return {"signals": found, "count": len(found), "hosts": len(paths)}


def get_signals(given: Mapping[str, Any]) -> dict[str, Any]:
    """The signals that are confident enough, the most confident first."""
    least = float(given["min_confidence"])
    found = [row for row in given["signals"] if float(row["confidence"]) >= least]
    found.sort(key=lambda row: (-float(row["confidence"]), str(row["id"])))
    return {"min_confidence": least, "signals": found, "count": len(found)}


def get_accuracy(given: Mapping[str, Any]) -> dict[str, Any]:
    """The share that was right, and what all of them would have gained; accuracy is null where none was judged."""
    outcomes = given["outcomes"]
    right = sum(bool(row["correct"]) for row in outcomes)
    total = math.fsum(float(row["pnl"]) for row in outcomes)
    accuracy = right / len(outcomes) if outcomes else None
    return {"hours": given["hours"], "judged": len(outcomes), "accuracy": accuracy, "total_pnl": total}


def signals_of(host: str, scans: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The detectors' word on the last of a path's scans, in the order of their times; composite last."""
    from workers.kernels import detectors

    series = sorted(scans, key=lambda scan: float(scan["timestamp"]))
    rtts = [math.nan if scan.get("rtt_ms") is None else float(scan["rtt_ms"]) for scan in series]
    times = [float(scan["timestamp"]) for scan in series]
    try:
        said = [detectors.zscore(rtts), detectors.trend_shift(rtts, times)]
        if len(series) > 1:
            said.append(detectors.route_change(series[-2].get("hops") or [], series[-1].get("hops") or []))
    except MeasurementRefused as error:
        raise PayloadRefused(f"The scans of {host[:100]} are no measurement: {error}.") from error
    found = [each for each in said if each is not None]
    both = detectors.composite(found)
    return [shown(host, each) for each in ([*found, both] if both else found) if each.confidence >= LEAST_CONFIDENCE]


def shown(host: str, found: Detection) -> dict[str, Any]:
    """A detection as JSON."""
    return {
        "type": found.kind,
        "host": host,
        "direction": "LONG" if found.direction > 0 else "SHORT",
        "confidence": found.confidence,
        "band": band(found.confidence),
        "strength": found.strength,
        "details": found.details,
    }


def _scans(given: Any) -> list[Mapping[str, Any]]:
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_SCANS:
        raise PayloadRefused(f"scans is a list of 1 to {MOST_SCANS}.")
    return given


RUNS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "anomaly_detection": anomaly_detection,
    "batch_analysis": batch_analysis,
    "get_signals": get_signals,
    "get_accuracy": get_accuracy,
}
