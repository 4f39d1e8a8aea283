"""What must hold of the pool and its money after every step, whatever the step was."""

from collections import Counter

from django.db.models import Count, Q, Sum

from apps.ledger.audit import rows
from apps.ledger.models import Hold, Transfer
from apps.pool.models import FINAL, HELD, OPEN_ATTEMPTS, Attempt, AttemptStatus, Job, Result, Task, TaskStatus
from apps.pool.progress import derive


def audit() -> None:
    """Raise AssertionError for a task that is lost, counted or paid twice, or a hold that is not what is unpaid."""
    for job in Job.objects.all():
        _job(job)
    for task in Task.objects.annotate(
        done=Count("attempts", filter=Q(attempts__status=AttemptStatus.COMPLETED)),
        under_way=Count("attempts", filter=Q(attempts__status__in=OPEN_ATTEMPTS)),
        counted=Count("attempts", filter=Q(attempts__counted=True)),
    ):
        assert (task.done, task.under_way) == (task.status == TaskStatus.COMPLETED, task.status in HELD), task.status
        assert task.failures == task.counted
        assert task.status != TaskStatus.PENDING or task.node_id is None
        _current_attempt(task)
    assert Result.objects.count() == Task.objects.filter(status=TaskStatus.COMPLETED).count()
    assert [check for check in rows.checks() if not check.ok] == []


def _current_attempt(task: Task) -> None:
    """The newest attempt is the task's, and nobody else's."""
    if task.status in {*HELD, TaskStatus.COMPLETED}:
        current = Attempt.objects.get(task=task, number=task.attempt)
        assert (current.node_id, current.lane) == (task.node_id, task.lane)
    assert task.attempts.count() == task.attempt


def _job(job: Job) -> None:
    tasks = list(job.tasks.order_by("index"))
    stand = Counter(task.status for task in tasks)
    assert [task.index for task in tasks] == list(range(job.tasks_total))
    counts = (stand[TaskStatus.COMPLETED], stand[TaskStatus.FAILED], stand[TaskStatus.CANCELLED])
    assert (job.tasks_done, job.tasks_failed, job.tasks_cancelled) == counts
    if job.status in FINAL:
        assert not {TaskStatus.PENDING, TaskStatus.CLAIMED} & set(stand)
    else:
        assert job.status == derive(job.tasks_total, *counts, begun=job.started_at is not None)
    assert (job.closed_at is not None) == (job.tasks_live == 0)
    if job.hold_id is not None:
        _money(job, tasks)


def _money(job: Job, tasks: list[Task]) -> None:
    hold = Hold.objects.get(pk=job.hold_id)
    paid = job.tasks_done * job.price_per_chunk
    assert hold.settled == paid
    assert hold.remaining == (0 if job.closed_at else job.price - paid)
    fees = Transfer.objects.filter(hold=job.hold_id, kind__startswith="fee.").values("memo").annotate(sum=Sum("amount"))
    assert {row["memo"]: row["sum"] for row in fees} == {
        task.pk: task.price for task in tasks if task.status == TaskStatus.COMPLETED
    }
