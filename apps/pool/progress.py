"""A job's state follows from its chunks. Whoever changes a held chunk locks the job's row first, then the chunk.

That order (job, task, hold, accounts) is the same everywhere, so that completion, cancel and reap never wait for each
other in a circle.
"""

from collections.abc import Collection
from datetime import datetime
from functools import partial
from typing import NamedTuple

from django.db import transaction

from apps.core import events
from apps.ledger import holds
from apps.pool import judging, log, presence
from apps.pool.models import FINAL, HELD, Attempt, AttemptStatus, Job, Purpose, Task, TaskStatus
from apps.pool.statuses import TASK_TRANSITIONS


def derive(total: int, done: int, failed: int, cancelled: int, *, begun: bool) -> TaskStatus:
    """The status of a job whose chunks stand so; one failed chunk fails it, one cancelled chunk cancels it."""
    if failed:
        return TaskStatus.FAILED
    if cancelled:
        return TaskStatus.CANCELLED
    if done == total:
        return TaskStatus.COMPLETED
    return TaskStatus.RUNNING if begun or done else TaskStatus.PENDING


def locked(job_id: str) -> Job:
    """The job, its row locked until the transaction ends."""
    return locked_all({job_id})[job_id]


def locked_all(job_ids: Collection[str]) -> dict[str, Job]:
    """The jobs by id, their rows locked in order until the transaction ends."""
    rows = Job.objects.filter(pk__in=job_ids).order_by("pk").select_for_update(no_key=True)
    return {job.pk: job for job in rows}


def move(task: Task, old: tuple[TaskStatus, ...], new: TaskStatus, **fields: object) -> bool:
    """The one move of a task: a compare-and-set on its status, attempt and node. Says whether it was this call's."""
    allowed = [status for status in old if new in TASK_TRANSITIONS[status]]
    same = Task.objects.filter(pk=task.pk, status__in=allowed, attempt=task.attempt, node=task.node_id)
    if new not in HELD:
        fields["lease_expires_at"] = None
    return same.update(status=new, **fields) == 1


class Why(NamedTuple):
    """What a job that did not complete says of itself."""

    reason: str = ""
    next_step: str = ""


NO_REASON = Why()


def advance(
    job: Job, now: datetime, *, done: int = 0, failed: int = 0, cancelled: int = 0, why: Why = NO_REASON
) -> None:
    """Count chunks that have ended on a locked job and store the status that follows; a final status stays.

    With its last chunk the job is closed: `settle_up` must then follow in the same transaction.
    """
    job.tasks_done += done
    job.tasks_failed += failed
    job.tasks_cancelled += cancelled
    old = job.status
    if old not in FINAL:
        counts = (job.tasks_total, job.tasks_done, job.tasks_failed, job.tasks_cancelled)
        job.status = derive(*counts, begun=job.started_at is not None)
    if job.status != old and job.status in FINAL:
        (job.reason, job.next_step), job.finished_at = why, now
        if job.status == TaskStatus.FAILED:
            # Nobody pays for more chunks of a job that cannot complete.
            job.tasks_cancelled += cancel_unstarted(job, now)
    if not job.tasks_live and job.closed_at is None:
        job.closed_at = now
    Job.objects.filter(pk=job.pk, status=old).update(
        tasks_done=job.tasks_done,
        tasks_failed=job.tasks_failed,
        tasks_cancelled=job.tasks_cancelled,
        status=job.status,
        reason=job.reason,
        next_step=job.next_step,
        finished_at=job.finished_at,
        closed_at=job.closed_at,
    )
    if job.status != old:
        announce(job, now)


def cancel_unstarted(job: Job, now: datetime) -> int:
    """Take back the chunks of a locked job that nobody has started; returns how many."""
    waiting = (TaskStatus.PENDING, TaskStatus.CLAIMED)
    # Locked in order, against a `take` that is claiming some of them at this moment.
    rows = Task.objects.filter(job=job, status__in=waiting).order_by("pk").select_for_update(no_key=True)
    found = list(rows.values_list("pk", "node_id"))
    ids = [task_id for task_id, _ in found]
    count = Task.objects.filter(pk__in=ids, status__in=waiting).update(
        status=TaskStatus.CANCELLED, lease_expires_at=None, completed_at=now
    )
    Attempt.objects.filter(task__in=ids, ended_at=None).update(status=AttemptStatus.CANCELLED, ended_at=now)
    log.write([log.Line("task.cancelled", task_id, job.pk) for task_id in ids], now)
    for node_id in {node_id for _, node_id in found if node_id is not None}:
        told = {"tasks": [task_id for task_id, holder in found if holder == node_id]}
        transaction.on_commit(partial(presence.tell, node_id, "control.cancel", told, now))
    return count


def settle_up(job: Job, now: datetime) -> None:
    """Give back what is left of a closed job's hold, or judge the node that it tested; nothing for an open one."""
    if job.closed_at is None:
        return
    if job.hold_id is not None and job.tasks_done < job.tasks_total:
        holds.void(job.hold_id, now=now)
    if job.purpose == Purpose.SELF_TEST:
        judging.judge(job, now)


def announce(job: Job, now: datetime) -> None:
    """Tell the job's requester, and the network's pages, that its status has changed."""
    topics = [f"job.{job.pk}"]
    if job.requester_id is not None:
        topics += [f"user.{job.requester_id}", "network"]
    events.emit("job.updated", subject=job.pk, topics=topics, data={"status": job.status}, now=now)


@transaction.atomic(durable=True)
def expire_job(job_id: str, now: datetime) -> bool:
    """Fail a job that has outlived its time: what nobody has started is given up, what runs may still end."""
    job = locked(job_id)
    if job.status in FINAL or job.expires_at > now:
        return False
    pending = Task.objects.filter(job=job, status=TaskStatus.PENDING).order_by("pk").select_for_update(no_key=True)
    ids = list(pending.values_list("pk", flat=True))
    failed = Task.objects.filter(pk__in=ids, status=TaskStatus.PENDING).update(
        status=TaskStatus.FAILED, completed_at=now, error_code="job_expired", error_detail="The job's time was over."
    )
    if not failed:
        return False
    log.write([log.Line("task.failed", task_id, job.pk, {"code": "job_expired"}) for task_id in ids], now)
    reason = f"{failed} of {job.tasks_total} chunks found no node in time."
    advance(job, now, failed=failed, why=Why(reason, "Submit them again when more nodes serve the model."))
    settle_up(job, now)
    return True
