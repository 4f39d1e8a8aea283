"""Taking work: the one statement that assigns tasks to a node."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from apps.core import parameters
from apps.operators.models import Node, NodeStatus, Operator
from apps.pool import log
from workers.protocol.ids import new_id

MOST = 1000


@dataclass(frozen=True)
class Assignment:
    """A task in the hands of a node, until its lease expires."""

    task_id: str
    job_id: str
    attempt: int
    kind: str
    lane: str
    model: str
    version: str
    index: int
    items: int
    lease_expires_at: datetime
    deadline: datetime


# The heads of the node's classes are locked within each class, skipping what others are taking at this moment; the
# queue index is (class, order key) of pending tasks, so the cost does not depend on how many others are queued. The
# tasks are updated by an array of ids, since a join with an unknown number of rows might be planned as a scan.
_TAKE = f"""
WITH classes AS MATERIALIZED (
    SELECT c.requires_id, coalesce((n.lanes ->> %(lane)s)::int, 0) AS slots
    FROM pool_nodeclass c
    JOIN {Node._meta.db_table} n ON n.id = c.node_id
    JOIN {Operator._meta.db_table} o ON o.id = n.operator_id
    WHERE c.node_id = %(node)s AND c.lane = %(lane)s AND n.revoked_at IS NULL AND o.status = 'active'
      AND (c.self_test OR n.reputation >= %(reputation)s)
      AND (n.status = '{NodeStatus.ONLINE.value}' OR (n.status = '{NodeStatus.SELF_TEST.value}' AND c.self_test))
), free AS MATERIALIZED (
    SELECT least(%(n)s, max(slots) - (
        SELECT count(*) FROM pool_task
        WHERE node_id = %(node)s AND lane = %(lane)s AND lease_expires_at IS NOT NULL
    )) AS n FROM classes
), heads AS MATERIALIZED (
    SELECT head.id, head.order_key
    FROM classes c CROSS JOIN free f CROSS JOIN LATERAL (
        SELECT t.id, t.order_key FROM pool_task t
        WHERE t.requires_id = c.requires_id AND t.status = 'PENDING'
          AND (t.avoid_node_id IS DISTINCT FROM %(node)s OR t.avoid_until <= %(now)s)
        ORDER BY t.order_key LIMIT %(n)s
        FOR UPDATE OF t SKIP LOCKED
    ) head
    WHERE f.n > 0
), picked AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY order_key, id) AS place
    FROM heads ORDER BY order_key, id LIMIT (SELECT greatest(n, 0) FROM free)
), taken AS (
    UPDATE pool_task t
    SET status = 'CLAIMED', node_id = %(node)s, lane = %(lane)s, attempt = t.attempt + 1,
        claimed_at = %(now)s, started_at = NULL, deadline = %(deadline)s,
        lease_expires_at = least(%(deadline)s, %(now)s + make_interval(secs => greatest(%(floor)s, t.work_s)))
    WHERE t.id = ANY (ARRAY(SELECT id FROM picked))
    RETURNING t.*
), attempts AS (
    INSERT INTO pool_attempt (id, task_id, number, node_id, lane, status, claimed_at, counted, code, detail)
    SELECT (%(ids)s::text[])[p.place], t.id, t.attempt, %(node)s, %(lane)s, 'claimed', %(now)s, false, '', ''
    FROM taken t JOIN picked p USING (id)
), begun AS (
    UPDATE pool_job SET status = 'RUNNING', started_at = %(now)s
    WHERE id IN (
        SELECT id FROM pool_job WHERE id IN (SELECT job_id FROM taken) AND status = 'PENDING'
        ORDER BY id FOR UPDATE SKIP LOCKED
    )
)
SELECT t.id, t.job_id, t.attempt, j.kind, t.lane, j.model, j.version, t.index, t.items, t.lease_expires_at, t.deadline
FROM taken t JOIN picked p USING (id) JOIN pool_job j ON j.id = t.job_id ORDER BY p.place
"""  # noqa: S608


# A cheap look at what waits for a lane, before anybody queues up to take it.
_LOOK = """
SELECT coalesce((n.lanes ->> %(lane)s)::int, 0) > (
    SELECT count(*) FROM pool_task WHERE node_id = %(node)s AND lane = %(lane)s AND lease_expires_at IS NOT NULL
) AND EXISTS (
    SELECT 1 FROM pool_nodeclass c WHERE c.node_id = %(node)s AND c.lane = %(lane)s
      AND EXISTS (SELECT 1 FROM pool_task t WHERE t.requires_id = c.requires_id AND t.status = 'PENDING')
) FROM operators_node n WHERE n.id = %(node)s
"""


class LaneBusy(Exception):
    """Another call is taking for the same lane at this moment."""


def worth_taking(node_id: str, lane: str) -> bool:
    """Whether the lane has a free slot and something waits that its node serves; what `take` then gives may be less."""
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, {"node": node_id, "lane": lane})
        row = cursor.fetchone()
    return bool(row and row[0])


def take(node_id: str, lane: str, n: int, now: datetime, *, queue_up: bool = True) -> list[Assignment]:
    """Assign up to `n` tasks to the node's lane, best first; never more than the lane has free slots.

    Nothing for a node that is not online, or whose operator is suspended, or whose reputation is used up; a
    node in self-test gets its self-tests. Calls for one lane come one after another; with `queue_up=False` a call that
    would have to wait for another raises LaneBusy instead.
    """
    n = min(n, MOST)
    if n < 1:
        return []
    values = {
        "node": node_id,
        "lane": lane,
        "n": n,
        "now": now,
        "reputation": parameters.get("reputation.work_below"),
        "floor": parameters.get("pool.lease_floor_s"),
        "deadline": now + timedelta(seconds=parameters.get("pool.attempt_deadline_s")),
        "ids": [new_id("att", now) for _ in range(n)],
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            # A statement of its own: what the lane holds is counted in the next one's snapshot, which has to begin
            # after whoever took for the same lane has committed.
            if not _alone(cursor, f"take:{node_id}:{lane}", queue_up):
                raise LaneBusy
            cursor.execute(_TAKE, values)
            taken = [Assignment(*row) for row in cursor.fetchall()]
        lines = [
            log.Line("task.claimed", a.task_id, a.job_id, {"node": node_id, "attempt": a.attempt, "index": a.index})
            for a in taken
        ]
        log.write(lines, now)
    return taken


def _alone(cursor: CursorWrapper, name: str, queue_up: bool) -> bool:
    """Hold the lock of that name until the transaction ends; False where it is held and nobody queues up."""
    if queue_up:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        return True
    cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name])
    row = cursor.fetchone()
    return bool(row and row[0])
