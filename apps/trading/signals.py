"""Signals: found by the detectors, stored once a measurement and pair, active for a while, taken once.

`now` is market time, except where a name says wall.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from apps.core import events, parameters
from apps.trading.models import Direction, Scan, ScanTarget, Signal, SignalKind, SignalStatus
from workers.kernels.detection import Detection, MeasurementRefused, band
from workers.protocol import canonical
from workers.protocol.clock import utcnow
from workers.protocol.ids import new_id

POINTS = 51
FRESH_S = 3600
ONE = 10_000
TOPICS = ("desk", "scans")
__all__ = ["active", "band", "detect", "expire_due", "series", "store", "take"]


@dataclass(frozen=True)
class Found:
    """A detection and where it was found: the newest scan names the moment, so that the same one is stored once."""

    detection: Detection
    target: ScanTarget
    newest: Scan

    def digest(self, pair: str) -> str:
        """What makes the signal the same one when the detectors look again."""
        same = {"scan": self.newest.pk, "kind": self.detection.kind, "pair": pair}
        return sha256(canonical.dumps(same)).hexdigest()


def series(target: ScanTarget, vantage: str, now: datetime) -> list[Scan]:
    """The scans that the detectors look at, the oldest first: of one vantage, by the method of the newest."""
    seen = Scan.objects.filter(target=target, vantage=vantage, measured_at__lte=now).order_by("-measured_at", "-pk")
    newest = seen.first()
    if newest is None:
        return []
    return list(seen.filter(method=newest.method).defer("envelope")[:POINTS])[::-1]


def detections(scans: Sequence[Scan]) -> list[Detection]:
    """Everything that is said of the newest scan, the composite last; nothing of one that no path can have."""
    # numba is not loaded until somebody looks at a path.
    from workers.kernels import detectors

    rtts = [math.nan if scan.total_rtt_ms is None else scan.total_rtt_ms for scan in scans]
    times = [scan.measured_at.timestamp() for scan in scans]
    try:
        said = [detectors.zscore(rtts), detectors.trend_shift(rtts, times)]
        if len(scans) > 1:
            said.append(detectors.route_change(scans[-2].hops, scans[-1].hops))
    except MeasurementRefused:
        return []
    found = [each for each in said if each is not None]
    both = detectors.composite(found)
    return [*found, both] if both else found


def detect(target: ScanTarget, vantage: str, now: datetime) -> list[Signal]:
    """Look at the newest scan of a path and store what it says of each pair of its host; returns the new signals.

    Looking again at the same scan stores nothing more.
    """
    scans = series(target, vantage, now)
    if not scans or scans[-1].measured_at < now - timedelta(seconds=FRESH_S):
        return []
    stored = []
    for detection in detections(scans):
        if round(detection.confidence * ONE) >= parameters.get("signals.store_from_bp"):
            found = Found(detection, target, scans[-1])
            stored += [signal for pair in target.pairs if (signal := _keep(found, pair, now))]
    return stored


def _keep(found: Found, pair: str, now: datetime) -> Signal | None:
    """The new signal of one pair, or None where it is stored already."""
    detection, newest = found.detection, found.newest
    signal, created = store(
        Signal(
            digest=found.digest(pair),
            kind=SignalKind(detection.kind),
            target=found.target,
            vantage=newest.vantage,
            pair=pair,
            direction=Direction.LONG if detection.direction > 0 else Direction.SHORT,
            confidence=detection.confidence,
            strength=detection.strength,
            details={**detection.details, "scan": newest.pk},
            source=newest.source,
            node_id=newest.node_id,
        ),
        now,
    )
    return signal if created else None


@transaction.atomic
def store(signal: Signal, now: datetime) -> tuple[Signal, bool]:
    """Store a signal unless one of its digest is there; returns the one that counts, and whether it is new."""
    signal.id = new_id("sig", now)
    signal.market_at = now
    signal.expires_at = now + timedelta(seconds=parameters.get("signals.expire_s"))
    signal.created_at = utcnow()
    if not Signal.objects.bulk_create([signal], ignore_conflicts=True) or not _won(signal):
        return Signal.objects.get(digest=signal.digest), False
    data = {
        "kind": str(signal.kind),
        "pair": signal.pair,
        "direction": str(signal.direction),
        "confidence": round(signal.confidence, 4),
        "band": band(signal.confidence),
    }
    events.emit("signal.stored", subject=signal.pk, topics=TOPICS, data=data, now=signal.created_at)
    return signal, True


def _won(signal: Signal) -> bool:
    """Whether it is this one that was stored: a conflict is ignored without a word."""
    return Signal.objects.filter(pk=signal.pk).exists()


def active(now: datetime, min_confidence: float | None = None) -> QuerySet[Signal]:
    """The signals that may still be taken, the most confident first."""
    least = parameters.get("signals.store_from_bp") / ONE if min_confidence is None else min_confidence
    return Signal.objects.filter(
        status=SignalStatus.ACTIVE, market_at__lte=now, expires_at__gt=now, confidence__gte=least - 1e-9
    ).order_by("-confidence", "pk")


@transaction.atomic
def take(signal_id: str, acted: bool, reason: str, now: datetime) -> bool:
    """Mark a signal as acted on or passed over; False where somebody took it before, or where it has expired."""
    if not reason:
        raise ValueError("a signal is taken for a reason")
    waiting = Signal.objects.filter(pk=signal_id, status=SignalStatus.ACTIVE)
    if acted:
        waiting = waiting.filter(expires_at__gt=now)
    status = SignalStatus.ACTED if acted else SignalStatus.PASSED
    if waiting.update(status=status, reason=reason[:300], taken_at=now) != 1:
        return False
    data: dict[str, Any] = {"status": str(status), "reason": reason[:300]}
    events.emit("signal.taken", subject=signal_id, topics=["desk"], data=data, now=utcnow())
    return True


@transaction.atomic
def expire_due(now: datetime) -> int:
    """End the signals that nobody took in time; returns how many."""
    due = Signal.objects.filter(status=SignalStatus.ACTIVE, expires_at__lte=now)
    ended = due.update(status=SignalStatus.EXPIRED, reason="Nobody acted on it in time.", taken_at=now)
    if ended:
        events.emit("signals.expired", subject="signals", topics=["desk"], data={"count": ended}, now=utcnow())
    return ended
