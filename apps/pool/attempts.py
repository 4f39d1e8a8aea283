"""How an attempt ends without a result: its task goes back to the queue, or fails for good."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.core import parameters
from apps.operators import reputation
from apps.operators.models import ReputationKind
from apps.pool import hints, log, progress
from apps.pool.models import HELD, OPEN_ATTEMPTS, Attempt, AttemptStatus, Job, Purpose, Task, TaskStatus
from apps.pool.ordering import raised

# Work that comes back uncounted, as from a node that stops, is given out so many times the attempts that count.
GIVEN_OUT_FOR_EACH_ATTEMPT = 5
NEXT_STEP = "Nothing is charged for chunks that were not delivered. Check the input, or submit the job again."
LATE_NEXT_STEP = "Nothing is charged for chunks that were not delivered. Submit the job again."


@dataclass(frozen=True)
class End:
    """Why an attempt ended; `counted` ones bring the task nearer to its last."""

    status: AttemptStatus
    code: str
    detail: str
    counted: bool = True


@dataclass(frozen=True)
class Last:
    """Why a task is not tried again; `told` is what its job says beside the attempts that counted."""

    code: str
    detail: str
    told: str = ""
    next_step: str = NEXT_STEP


def end(job: Job, task: Task, why: End, now: datetime) -> bool:
    """End the open attempt of a held task of a locked job. False if the task has moved on by itself.

    The task waits again with raised priority, for another node first; or it is FAILED for good, where `last_of` says
    why, or CANCELLED if its job has ended meanwhile.
    """
    failures, held_by = task.failures + why.counted, task.node_id
    last = last_of(job, task, why, now)
    if job.is_final:
        moved = progress.move(task, HELD, TaskStatus.CANCELLED, failures=failures, completed_at=now)
    elif last is not None:
        moved = progress.move(
            task,
            HELD,
            TaskStatus.FAILED,
            failures=failures,
            completed_at=now,
            error_code=last.code,
            error_detail=last.detail,
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
    _tell(job, task, why, now, last)
    return True


def last_of(job: Job, task: Task, why: End, now: datetime) -> Last | None:
    """What makes the attempt that ends so the task's last; None while the task is to be tried again."""
    most = parameters.get("pool.max_attempts")
    if task.failures + why.counted >= most:
        return Last(why.code, why.detail)
    # An input that kills a node's process comes back uncounted each time, and would go from lane to lane for ever.
    if task.attempt >= GIVEN_OUT_FOR_EACH_ATTEMPT * most:
        told = f"It was given out {task.attempt} times and came back each time, the last time with: "
        told += why.detail or why.code
        return Last("given_out_too_often", told, told)
    # The sweep fails only what waits when it looks, and a task that two nodes hand back and forth need never wait then.
    if job.expires_at <= now:
        told = f"The job's time was over when it came back: {why.detail or why.code}"
        return Last("job_expired", told, told, LATE_NEXT_STEP)
    return None


def _tell(job: Job, task: Task, why: End, now: datetime, last: Last | None) -> None:
    told = {"node": task.node_id, "attempt": task.attempt, "index": task.index, "code": why.code}
    if job.is_final:
        log.write([log.Line("task.cancelled", task.pk, job.pk, told)], now)
        progress.advance(job, now, cancelled=1)
    elif last is not None:
        log.write([log.Line("task.failed", task.pk, job.pk, {**told, "code": last.code})], now)
        progress.advance(job, now, failed=1, why=progress.Why(reasons(task, last), last.next_step))
    else:
        log.write([log.Line("task.requeued", task.pk, job.pk, told)], now)
        hints.wake()
    progress.settle_up(job, now)


def reasons(task: Task, last: Last) -> str:
    """Why the chunk failed: what ended it beside its failures, and what became of each attempt that counted."""
    counted = Attempt.objects.filter(task=task, counted=True).order_by("number").select_related("node")
    told = "; ".join(f"attempt {a.number} on {a.node.name}: {a.detail or a.code}" for a in counted)
    return " ".join(part for part in (f"Chunk {task.index + 1} failed.", last.told, told) if part)
