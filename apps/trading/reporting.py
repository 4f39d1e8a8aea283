"""What people report over the API: scans and signals. They count for the reporter's own vantage only.

A reported signal passes risk like any other, and then the oracles: they look at the stored scans themselves and vote to
hold where those do not show it.
"""

from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any

from django.db import transaction

from apps.core import parameters
from apps.core.models import User
from apps.operators.models import Operator
from apps.trading import scans, signals, targets
from apps.trading.market_time import clock
from apps.trading.models import Scan, ScanTarget, Signal, Source
from apps.trading.scan_errors import PairUnknown, ReplayRunning, ReporterRefused, SignalWeak, TargetUnknown
from workers.protocol import canonical
from workers.protocol.ids import message_id


def vantage_of(user: User) -> str:
    """Where a person's reports were measured, as far as anybody knows."""
    return f"reporter {user.pk}"


def admit(user: User) -> str:
    """The reporter's region; raises ReporterRefused or ReplayRunning."""
    operator = Operator.objects.filter(user=user).first()
    if operator is None and not user.acts_as_staff:
        raise ReporterRefused
    if clock().source == Source.REPLAY:
        raise ReplayRunning
    return operator.region if operator else ""


def report_scan(user: User, given: dict[str, Any], now: datetime) -> Scan:
    """Store a person's scan and have the detectors look at it; raises ScanRefused, ReporterRefused, ReplayRunning.

    `given`: host, hops, total_rtt_ms, method, measured_at (now where it is left out).
    """
    region = admit(user)
    report = scans.ScanReport(
        host=given["host"],
        vantage=vantage_of(user),
        region=region,
        measured_at=given.get("measured_at") or now,
        hops=given.get("hops", []),
        total_rtt_ms=given.get("total_rtt_ms"),
        method=given.get("method", "udp"),
    )
    with transaction.atomic():
        scan = scans.ingest(report, Source.API, now)
        transaction.on_commit(partial(scans.look, scan.pk), robust=True)
    return scan


def report_signal(user: User, given: dict[str, Any], now: datetime, key: str | None = None) -> tuple[Signal, bool]:
    """Store a person's signal, and say whether it is new; the same key is the same signal.

    `given`: kind, pair, direction, confidence, host where there is one. Raises SignalRefused, ReporterRefused,
    ReplayRunning.
    """
    admit(user)
    if round(given["confidence"] * signals.ONE) < parameters.get("signals.store_from_bp"):
        raise SignalWeak
    target = watched(given["pair"], given.get("host", ""))
    same = {"reporter": user.pk, "key": key or message_id()}
    return signals.store(
        Signal(
            digest=sha256(canonical.dumps(same)).hexdigest(),
            kind=given["kind"],
            target=target,
            vantage=vantage_of(user),
            pair=given["pair"],
            direction=given["direction"],
            confidence=given["confidence"],
            details={"reported_by": str(user.pk)},
            framework="reported",
            source=Source.API,
        ),
        now,
    )


def watched(pair: str, host: str) -> ScanTarget | None:
    """The host that a reported signal is about, if it names one; raises TargetUnknown or PairUnknown."""
    targets.ensure()
    if not ScanTarget.objects.filter(pairs__contains=[pair]).exists():
        raise PairUnknown(f"No watched host stands for {pair}.")
    if not host:
        return None
    target = targets.find(host)
    if target is None:
        raise TargetUnknown(f"{host[:100]} is not watched.")
    if pair not in target.pairs:
        raise PairUnknown(f"{host} does not stand for {pair}.")
    return target
