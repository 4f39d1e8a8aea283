"""What a detector says, the bands of its confidence, and how several agree: plain Python, nothing is compiled.

`direction` is +1 (LONG: the path got better) or -1 (SHORT: it got worse). `strength` is the measured change over the
least that counts, so that 1 is the threshold of every kind.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

LATENCY_ANOMALY = "latency_anomaly"
TREND_SHIFT = "trend_shift"
ROUTE_CHANGE = "route_change"
COMPOSITE = "composite"
KINDS = (LATENCY_ANOMALY, TREND_SHIFT, ROUTE_CHANGE, COMPOSITE)
WEIGHTS = {LATENCY_ANOMALY: 0.45, TREND_SHIFT: 0.30, ROUTE_CHANGE: 0.25}

LONG = 1
SHORT = -1

# From this confidence upwards; below the first, nothing is said at all.
BANDS = ((0.40, "weak"), (0.55, "marginal"), (0.65, "moderate"), (0.75, "strong"), (0.90, "very strong"))


class MeasurementRefused(ValueError):
    """A series or route that no measurement can give: a negative, infinite or absurd time, or a malformed hop."""


@dataclass(frozen=True)
class Detection:
    """One finding. `details` holds finite numbers, words and booleans only."""

    kind: str
    direction: int
    confidence: float
    strength: float
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CompositeLimits:
    """How many must agree, what unanimity adds, and where confidence ends."""

    agreeing: int = 2
    unanimous: float = 1.10
    cap: float = 0.95


AGREEMENT = CompositeLimits()


def band(confidence: float) -> str | None:
    """The band of a confidence; None below the weakest."""
    found = [name for least, name in BANDS if confidence >= least]
    return found[-1] if found else None


def composite(detections: Iterable[Detection], limits: CompositeLimits = AGREEMENT) -> Detection | None:
    """The weighted opinion of at least two kinds that agree on the direction, or None.

    Of each kind the most confident detection speaks. The weight of one that disagrees counts against the rest; where
    nobody who spoke disagrees, the confidence is raised.
    """
    spoke: dict[str, Detection] = {}
    for detection in detections:
        if detection.kind in WEIGHTS:
            known = spoke.get(detection.kind)
            spoke[detection.kind] = detection if known is None or detection.confidence > known.confidence else known
    for direction in (LONG, SHORT):
        agreed = [spoke[kind] for kind in WEIGHTS if kind in spoke and spoke[kind].direction == direction]
        if len(agreed) >= limits.agreeing:
            return _agreed(direction, agreed, spoke, limits)
    return None


def _agreed(direction: int, agreed: list[Detection], spoke: dict[str, Detection], limits: CompositeLimits) -> Detection:
    """The composite of those that agreed, in the order of WEIGHTS so that sums never depend on the caller's order."""
    total = sum(WEIGHTS[kind] for kind in WEIGHTS if kind in spoke)
    unanimous = len(agreed) == len(spoke)
    confidence = sum(WEIGHTS[each.kind] * each.confidence for each in agreed) / total
    strength = sum(WEIGHTS[each.kind] * each.strength for each in agreed) / total
    details = {
        "agreed": [each.kind for each in agreed],
        "disagreed": [kind for kind in WEIGHTS if kind in spoke and spoke[kind].direction != direction],
        "unanimous": unanimous,
        "confidences": {each.kind: each.confidence for each in agreed},
    }
    raised = confidence * limits.unanimous if unanimous else confidence
    return Detection(COMPOSITE, direction, min(raised, limits.cap), strength, details)
