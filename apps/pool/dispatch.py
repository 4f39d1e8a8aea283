"""Handing out work to nodes on the broker, and seeing to it that rows and queues agree.

`take` assigns tasks, its transaction commits, and then they are published: a kill in between is found by `reconcile`.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from redis.exceptions import RedisError

from apps.core import parameters
from apps.operators.models import Node
from apps.pool import broker, hints, presence, sealing
from apps.pool.models import Payload, Task, TaskStatus
from apps.pool.take import Assignment, take
from workers.protocol.clock import utcnow
from workers.protocol.envelope import unverified_payload
from workers.protocol.errors import ProtocolError

logger = logging.getLogger(__name__)
UNDELIVERED_S = 5
AGAIN_S = 15.0
WORK_EVERY_S = 5.0
MOST_PENDING = 10_000
Key = tuple[str, str, int]
BOUNDS = {"low": "priority", "idle": "work"}

# Lanes with a free slot, for which there is work: nodes of a low reputation last, the emptiest first, so that work
# spreads, and among equals the best first.
_FREE = """
WITH pending AS MATERIALIZED (
    SELECT r.id FROM pool_requirementclass r
    WHERE EXISTS (SELECT 1 FROM pool_task t WHERE t.requires_id = r.id AND t.status = 'PENDING')
), held AS MATERIALIZED (
    SELECT node_id, lane, count(*) AS n FROM pool_task WHERE lease_expires_at IS NOT NULL GROUP BY node_id, lane
)
SELECT n.id, l.key, n.transport, l.value::int - coalesce(h.n, 0) AS free
FROM operators_node n
CROSS JOIN LATERAL jsonb_each_text(n.lanes) l
LEFT JOIN held h ON h.node_id = n.id AND h.lane = l.key
WHERE n.status IN ('online', 'self_test')
  AND (n.status = 'self_test' OR n.reputation >= %(idle)s) AND n.transport <> 'http' AND l.value::int > coalesce(h.n, 0)
  AND EXISTS (
      SELECT 1 FROM pool_nodeclass c JOIN pending p ON p.id = c.requires_id WHERE c.node_id = n.id AND c.lane = l.key
  )
ORDER BY n.reputation < %(low)s, coalesce(h.n, 0)::float / l.value::int, n.reputation DESC,
         n.last_seen_at DESC NULLS LAST, n.id
"""


@dataclass
class Post:
    """What one dispatcher remembers of what it has sent; all of it may be forgotten."""

    told_work: dict[tuple[str, str], float] = field(default_factory=dict)
    sent_again: dict[Key, float] = field(default_factory=dict)

    def hand_out(self, now: datetime) -> int:
        """Give every free slot of the broker's nodes a task, as far as there are any; returns how many."""
        free = free_slots()
        slots = {(node, lane): count for node, lane, transport, count in free if transport == Node.Transport.CELERY}
        self.tell_work(((node, lane) for node, lane, transport, _ in free if transport == Node.Transport.SOCKET), now)
        if not slots or not broker.answers():
            return 0
        handed = 0
        # One task a lane and pass, so that the next task goes to the next node.
        while slots:
            taken = [a for lane in slots for a in assigned(*lane, now)]
            publish(taken)
            handed += len(taken)
            got = {(node, a.lane) for node, a in taken}
            slots = {lane: count - 1 for lane, count in slots.items() if lane in got and count > 1}
        return handed

    def tell_work(self, lanes: Iterable[tuple[str, str]], now: datetime) -> None:
        """Tell nodes on the socket that there is work in a lane, now and then while there is."""
        for node, lane in lanes:
            if time.monotonic() - self.told_work.get((node, lane), -WORK_EVERY_S) >= WORK_EVERY_S:
                self.told_work[node, lane] = time.monotonic()
                presence.tell(node, "control.work", {"lane": lane}, now)

    def reconcile(self, now: datetime, *, resend: bool = True) -> tuple[int, int]:
        """Publish what is claimed but nowhere, drop what waits but is not claimed; returns (sent, dropped).

        `resend` is False while nodes could not say that they have begun.
        """
        nodes = Node.objects.not_revoked().filter(transport=Node.Transport.CELERY).values_list("pk", "lanes")
        claimed = Task.objects.filter(status=TaskStatus.CLAIMED, node__transport=Node.Transport.CELERY)
        queues = {broker.queue(node, lane): node for node, lanes in nodes for lane in lanes}
        # Queues before rows: what was published in between is in the rows, too young to be sent again.
        waiting = [(where, key_of(queues[where[0]], raw)) for where, raw in broker.entries(list(queues))]
        rows = {(str(t.node_id), t.pk, t.attempt): t for t in claimed.select_related("job", "node")}
        surplus = [where for where, key in waiting if key not in rows]
        if surplus:
            broker.drop(surplus)
        queued = {key for _, key in waiting}
        lost = [t for key, t in rows.items() if resend and key not in queued and self.is_lost(key, t, now)]
        publish([(task.node_id, assignment_of(task)) for task in lost])
        return len(lost), len(surplus)

    def is_lost(self, key: Key, task: Task, now: datetime) -> bool:
        """Whether to send it (again): claimed a while ago, not running by its node's word, not just sent again."""
        if task.node is None or task.claimed_at is None or task.claimed_at > now - timedelta(seconds=UNDELIVERED_S):
            return False
        if task.pk in task.node.running or time.monotonic() - self.sent_again.get(key, -AGAIN_S) < AGAIN_S:
            return False
        if len(self.sent_again) > MOST_PENDING:
            self.sent_again.clear()
        self.sent_again[key] = time.monotonic()
        return True


def free_slots() -> list[tuple[str, str, str, int]]:
    """(node id, lane, transport, free slots) wherever there is work for a free slot."""
    with connection.cursor() as cursor:
        bounds = {name: parameters.get(f"reputation.{bound}_below") for name, bound in BOUNDS.items()}
        cursor.execute(_FREE, bounds)
        return list(cursor.fetchall())


def assigned(node_id: str, lane: str, now: datetime) -> list[tuple[str, Assignment]]:
    """The next task for a lane, if there is one, with its node's id."""
    return [(node_id, assignment) for assignment in take(node_id, lane, 1, now)]


def refill(node: Node, now: datetime) -> int:
    """Give a broker's node that has just done something its next tasks, without a dispatcher's round between.

    One of a low reputation has to wait for that round, so that others come first.
    """
    if node.reputation < parameters.get("reputation.priority_below"):
        hints.wake()
        return 0
    taken = [one for lane in node.lanes for one in assigned(node.pk, lane, now)]
    publish(taken)
    return len(taken)


def publish(work: list[tuple[Any, Assignment]]) -> None:
    """Seal, sign and queue what is assigned; what fails here is found by `reconcile` or by the lease."""
    if not work:
        return
    nodes = Node.objects.in_bulk({node_id for node_id, _ in work})
    ready: list[tuple[str, str, dict[str, Any]]] = []
    for node_id, assignment in work:
        try:
            ready.append((node_id, assignment.lane, sealing.task_envelope(assignment, nodes[node_id], utcnow())))
        except (Payload.DoesNotExist, ProtocolError, ValueError) as error:
            logger.warning("A task was not sealed", extra={"task": assignment.task_id, "error": str(error)[:200]})
    try:
        broker.publish_all(ready)
    except RedisError as error:
        logger.warning("Work was not published", extra={"tasks": len(ready), "error": str(error)[:200]})


def key_of(node_id: str, envelope: dict[str, Any]) -> Key:
    """Which attempt a waiting envelope is for."""
    body = unverified_payload(envelope)["body"]
    return node_id, str(body["task"]), int(body["attempt"])


def assignment_of(task: Task) -> Assignment:
    """A claimed task as it was taken."""
    if task.lease_expires_at is None or task.deadline is None:
        raise ValueError(f"{task.pk} is not claimed")
    job = task.job
    return Assignment(
        task.pk,
        task.job_id,
        task.attempt,
        job.kind,
        task.lane,
        job.model,
        job.version,
        task.index,
        task.items,
        task.lease_expires_at,
        task.deadline,
    )


def restore_accounts() -> list[str]:
    """Make the broker accounts that were lost, from their hashes."""
    rows = Node.objects.not_revoked().exclude(broker_sha256="").values_list("pk", "broker_sha256")
    return broker.restore_accounts(rows)


def count_pending() -> int:
    """How many tasks wait, counted up to ten thousand."""
    return Task.objects.pending().order_by()[:MOST_PENDING].count()
