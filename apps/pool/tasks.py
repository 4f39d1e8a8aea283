"""What the `control` queue does for the pool by the clock; each finds in the rows what a hint or a process lost."""

import logging

from celery import shared_task

from apps.operators.models import Node
from apps.pool import classes, progress, receipts, replay
from apps.pool.models import FINAL, Job
from workers.protocol.clock import utcnow

logger = logging.getLogger(__name__)
AT_ONCE = 200


@shared_task
def sweep() -> None:
    """Fail jobs whose time is over and issue receipts that are due."""
    now = utcnow()
    overdue = Job.objects.open().filter(expires_at__lte=now).exclude(status__in=FINAL).order_by("expires_at")
    expired = sum(progress.expire_job(pk, now) for pk in overdue.values_list("pk", flat=True)[:AT_ONCE])
    issued = receipts.issue_due(now)
    if expired or issued:
        logger.info("Jobs swept", extra={"expired": expired, "receipts": issued})


@shared_task
def prune() -> None:
    """Forget replay rows that have expired, and rewrite what nodes are eligible for."""
    now = utcnow()
    forgotten = replay.prune(now)
    classes.refresh_all(now)
    logger.info("Pruned", extra={"messages": forgotten, "nodes": Node.objects.count()})
