"""Leases: a node keeps a task only as long as it is heard from, and never past the attempt's deadline."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction

from apps.core import parameters
from apps.pool import progress
from apps.pool.attempts import End, end
from apps.pool.models import AttemptStatus, Task

REAP_AT_ONCE = 500
LONGEST_GAP_S = 10
_EXTEND = """
UPDATE pool_task
SET lease_expires_at = greatest(
    lease_expires_at, least(deadline, %(now)s + make_interval(secs => greatest(%(floor)s, work_s)))
)
WHERE id = ANY(%(ids)s) AND node_id = %(node)s AND lease_expires_at IS NOT NULL
RETURNING id
"""


def extend(node_id: str, task_ids: Sequence[str], now: datetime) -> list[str]:
    """Extend the leases of what a node says it runs; returns those of the tasks that are not its own any more."""
    if not task_ids:
        return []
    values = {"now": now, "floor": parameters.get("pool.lease_floor_s"), "ids": list(task_ids), "node": node_id}
    with connection.cursor() as cursor:
        cursor.execute(_EXTEND, values)
        kept = {row[0] for row in cursor.fetchall()}
    return [task_id for task_id in task_ids if task_id not in kept]


def release_node(node_id: str, reason: str, now: datetime, *, counted: bool = True) -> int:
    """Take back everything that a node holds; returns how many tasks. A drain or a fault of the platform's own is not
    `counted`."""
    why = End(AttemptStatus.RELEASED, "node_lost" if counted else "released", reason, counted=counted)
    held = list(Task.objects.held().filter(node=node_id).order_by("pk").values_list("pk", "job_id", "attempt"))
    return sum(_end(task_id, job_id, attempt, why, now) for task_id, job_id, attempt in held)


@transaction.atomic(durable=True)
def _end(task_id: str, job_id: str, attempt: int, why: End, now: datetime, *, expired: bool = False) -> bool:
    job = progress.locked(job_id)
    task = Task.objects.held().filter(pk=task_id, attempt=attempt).first()
    if task is None or (expired and task.lease_expires_at is not None and task.lease_expires_at > now):
        return False
    return end(job, task, why, now)


def reap_due(now: datetime) -> int:
    """Take back tasks whose lease has expired; returns how many."""
    due = Task.objects.held().filter(lease_expires_at__lte=now).order_by("lease_expires_at")[:REAP_AT_ONCE]
    reaped = 0
    for task in list(due):
        late = task.deadline is not None and task.deadline <= now
        detail = "It took longer than an attempt may." if late else "The node was not heard from in time."
        why = End(AttemptStatus.EXPIRED, "attempt_deadline" if late else "lease_expired", detail)
        reaped += _end(task.pk, task.job_id, task.attempt, why, now, expired=True)
    return reaped


class Reaper:
    """Reaps, except for two heartbeat intervals after its own start or after a gap of its own.

    Nodes could not be heard while the platform was away, so their silence then says nothing.
    """

    def __init__(self, started_at: datetime) -> None:
        self._last = started_at
        self._quiet_since = started_at

    def reap(self, now: datetime) -> int:
        """Take back what has expired; returns how many tasks."""
        if now - self._last > timedelta(seconds=LONGEST_GAP_S):
            self._quiet_since = now
        self._last = now
        if now - self._quiet_since < timedelta(seconds=2 * parameters.get("pool.heartbeat_s")):
            return 0
        return reap_due(now)
