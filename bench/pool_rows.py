"""Rows for measuring the pool alone: nodes that are online, and queues of any length."""

from datetime import datetime

from django.db import connection

from apps.core.models import User
from apps.operators.models import Node, NodeStatus, Operator
from apps.pool.models import Job, NodeClass, Purpose, RequirementClass
from workers.protocol.clock import utcnow
from workers.protocol.ids import new_id

LANE = "inference.cpu"
SLOTS = 1_000_000
_QUEUE = """
INSERT INTO pool_task (id, job_id, index, requires_id, status, order_key, items, price, work_s, attempt, failures,
    lane, created_at, error_code, error_detail)
SELECT 't' || %(job)s || '_' || i, %(job)s, i, %(needs)s, 'PENDING', 5::bigint * (1::bigint << 44) + i, 1, 0, 1, 0,
    0, '', %(now)s, '', ''
FROM generate_series(0, %(count)s - 1) i
"""


def operator() -> Operator:
    """One operator for all nodes."""
    now = utcnow()
    user = User.objects.create_user(email=f"{new_id('op', now)}@example.org")
    return Operator.objects.create(id=new_id("op", now), user=user, tier="ORACLE", region="eu", approved_at=now)


def requirement(model: str) -> RequirementClass:
    """A class of tasks."""
    return RequirementClass.objects.create(
        digest=f"{model:0>64}", kind="embed", model=model, version="1", lanes=[LANE], created_at=utcnow()
    )


def node(owner: Operator, *classes: RequirementClass) -> str:
    """The id of a new node that serves the classes and never runs out of slots."""
    now = utcnow()
    name = new_id("node", now)
    made = Node.objects.create(
        id=name,
        operator=owner,
        name=name[:40],
        status=NodeStatus.ONLINE,
        status_at=now,
        sign_public=name,
        seal_public=name,
        kid=name[-16:],
        lanes={LANE: SLOTS},
        enrolled_at=now,
    )
    NodeClass.objects.bulk_create(NodeClass(node=made, requires=needs, lane=LANE) for needs in classes)
    return made.pk


def queue(needs: RequirementClass, count: int, now: datetime) -> Job:
    """A job with so many pending tasks of the class; nobody pays for it."""
    job = Job.objects.create(
        id=new_id("job", now),
        purpose=Purpose.SELF_TEST,
        kind=needs.kind,
        model=needs.model,
        version=needs.version,
        tasks_total=count,
        created_at=now,
        expires_at=now,
    )
    with connection.cursor() as cursor:
        cursor.execute(_QUEUE, {"job": job.pk, "needs": needs.pk, "now": now, "count": count})
        cursor.execute("VACUUM ANALYZE pool_task")
    return job


def empty() -> None:
    """Take every job and task away."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE pool_job, pool_task CASCADE")
