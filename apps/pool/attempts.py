"""How an attempt ends without a result: its task goes back to the queue, or fails for good."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.core import parameters
from apps.operators import reputation
from apps.operators.models import ReputationKind
from apps.pool import hints, log, progress
from apps.pool.models import HELD, OPEN_ATTEMPTS, Attempt, AttemptStatus, Job, Purpose, Task, TaskStatus
from apps.pool.ordering import raised


@dataclass(frozen=True)
class End:
    """Why an attempt ended; `counted` ones bring the task nearer to its last."""

    status: AttemptStatus
    code: str
    detail: str
    counted: bool = True


def end(job: Job, task: Task, why: End, now: datetime) -> bool:
    """End the open attempt of a held task of a locked job. False if the task has moved on by itself.

    The task waits again with raised priority, for another node first; or it is FAILED after the last attempt that
    counts, or CANCELLED if its job has ended meanwhile.
    """
    failures, held_by = task.failures + why.counted, task.node_id
    last = failures >= parameters.get("pool.max_attempts")
    if job.is_final:
        moved = progress.move(task, HELD, TaskStatus.CANCELLED, failures=failures, completed_at=now)
    elif last:
        moved = progress.move(
            task,
            HELD,
            TaskStatus.FAILED,
            failures=failures,
            completed_at=now,
            error_code=why.code,
            error_detail=why.detail,
        )
    else:
        moved = progress.move(
            task,
            HELD,
            TaskStatus.PENDING,
            failures=failures,
            order_key=raised(task.order_key),
            avoid_node=task.node_id if job.purpose == Purpose.REQUEST else None,
            avoid_until=now + timedelta(seconds=parameters.get("pool.prefer_other_s")),
            node=None,
            lane="",
            claimed_at=None,
            started_at=None,
            deadline=None,
        )
    if not moved:
        return False
    if why.counted and job.purpose == Purpose.REQUEST and held_by is not None:
        kind = ReputationKind.FAILED if why.status == AttemptStatus.FAILED else ReputationKind.ABANDONED
        reputation.record(held_by, kind, now, f"{task.pk}: {why.code}")
    Attempt.objects.filter(task=task, number=task.attempt, status__in=OPEN_ATTEMPTS).update(
        status=why.status, ended_at=now, counted=why.counted, code=why.code, detail=why.detail
    )
    _tell(job, task, why, now, last=last)
    return True


def _tell(job: Job, task: Task, why: End, now: datetime, *, last: bool) -> None:
    told = {"node": task.node_id, "attempt": task.attempt, "index": task.index, "code": why.code}
    if job.is_final:
        log.write([log.Line("task.cancelled", task.pk, job.pk, told)], now)
        progress.advance(job, now, cancelled=1)
    elif last:
        log.write([log.Line("task.failed", task.pk, job.pk, told)], now)
        progress.advance(job, now, failed=1, why=progress.Why(reasons(task), NEXT_STEP))
    else:
        log.write([log.Line("task.requeued", task.pk, job.pk, told)], now)
        hints.wake()
    progress.settle_up(job, now)


NEXT_STEP = "Nothing is charged for chunks that were not delivered. Check the input, or submit the job again."


def reasons(task: Task) -> str:
    """What became of each attempt that counted, in order."""
    counted = Attempt.objects.filter(task=task, counted=True).order_by("number").select_related("node")
    told = "; ".join(f"attempt {a.number} on {a.node.name}: {a.detail or a.code}" for a in counted)
    return f"Chunk {task.index + 1} failed. {told}"
