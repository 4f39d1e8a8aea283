"""Cancelling: the chunks that nobody has started are taken back; those that run end by themselves and are paid."""

from datetime import datetime

from django.db import transaction

from apps.core import events
from apps.core.models import User
from apps.operators.errors import ReasonMissing
from apps.pool import progress
from apps.pool.errors import JobNotFound, NothingToCancel
from apps.pool.models import Job


@transaction.atomic(durable=True)
def cancel(job_id: str, actor: User, now: datetime, *, reason: str = "") -> int:
    """Cancel a job of the actor's; returns how many chunks were taken back. A job that has ended stays as it is.

    Raises JobNotFound for a job that the actor may not see.
    """
    if not Job.objects.visible_to(actor).filter(pk=job_id).exists():
        raise JobNotFound
    by = "its requester" if Job.objects.filter(pk=job_id, requester=actor).exists() else "an administrator"
    count = take_back(job_id, f"Cancelled by {by}{f': {reason}' if reason else '.'}", now)
    if count:
        data = {"chunks": count, "reason": reason}
        events.emit("job.cancelled", subject=job_id, topics=["admin"], data=data, now=now, actor=actor)
    return count


def decide(job: Job, *, actor: User, reason: str, now: datetime) -> int:
    """Cancel a job as staff, who say why; returns how many chunks were taken back.

    Raises ReasonMissing, or NothingToCancel where nobody would notice; and what `cancel` raises.
    """
    if not reason.strip():
        raise ReasonMissing
    count = cancel(job.pk, actor, now, reason=reason.strip())
    if not count:
        raise NothingToCancel
    return count


@transaction.atomic
def take_back(job_id: str, reason: str, now: datetime) -> int:
    """Cancel the chunks of a job that nobody has started; returns how many."""
    job = progress.locked(job_id)
    if job.is_final:
        return 0
    count = progress.cancel_unstarted(job, now)
    if count:
        progress.advance(job, now, cancelled=count, why=progress.Why(reason, _next_step(job, count)))
        progress.settle_up(job, now)
    return count


def _next_step(job: Job, count: int) -> str:
    running = job.tasks_live - count
    if running:
        return f"{running} running chunks end by themselves and are charged; what is left is given back then."
    return "What was held for the cancelled chunks has been given back."
