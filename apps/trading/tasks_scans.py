"""What the `market` queue does for scans and signals."""

from datetime import timedelta

from celery import shared_task

from apps.trading import scan_schedule, signals
from apps.trading.market_time import clock
from apps.trading.models import Scan, ScanTarget, Source
from workers.protocol.clock import utcnow

LOOKED_BACK = timedelta(minutes=10)


@shared_task
def schedule() -> int:
    """Ask nodes for the scans that are due."""
    return scan_schedule.run(utcnow())


@shared_task
def detect(scan_id: str) -> int:
    """Have the detectors look at the path of a new scan; in a replay what is measured now says nothing."""
    scan = Scan.objects.select_related("target").filter(pk=scan_id).first()
    if scan is None or clock().source == Source.REPLAY:
        return 0
    return len(signals.detect(scan.target, scan.vantage, utcnow()))


@shared_task
def sweep() -> int:
    """Look at every path with a recent scan, and end signals nobody took: what a lost message left behind."""
    if clock().source == Source.REPLAY:
        return 0
    now = utcnow()
    recent = Scan.objects.filter(received_at__gt=now - LOOKED_BACK, measured_at__lte=now).exclude(source=Source.REPLAY)
    paths = recent.order_by().values_list("target", "vantage").distinct()
    known = ScanTarget.objects.in_bulk({target for target, _ in paths})
    found = sum(len(signals.detect(known[target], vantage, now)) for target, vantage in paths)
    signals.expire_due(now)
    return found
