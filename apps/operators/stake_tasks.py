"""What the `ledger` queue does for stakes by the clock."""

import logging

from celery import shared_task

from apps.operators import stakes
from workers.protocol.clock import utcnow

logger = logging.getLogger(__name__)


@shared_task
def watch_stakes() -> None:
    """Pay out stakes whose time of unbonding is over, and look after those that are too small."""
    now = utcnow()
    released, changed = stakes.release_due(now), stakes.sweep(now)
    if released or changed:
        logger.info("Stakes watched", extra={"released": len(released), "changed": changed})
