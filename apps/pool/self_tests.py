"""Self-tests: tasks with known answers, for one node alone and without a fee, before it takes anybody's work."""

from datetime import datetime, timedelta

from django.db import transaction

from apps.core import parameters
from apps.models import catalog
from apps.models.models import ModelVersion
from apps.operators.models import Node, NodeStatus
from apps.pool import cancel, classes, hints, kinds, queueing
from apps.pool.models import Job, Purpose, RequirementClass
from workers.protocol.ids import new_id

PRIORITY = 0
NEXT_STEP = (
    "Serve a model that the network offers and that fits the machine. It is tested again after a while by itself."
)


@transaction.atomic
def start(node: Node, now: datetime) -> list[Job]:
    """Move a node to self-test and queue a known answer for each model that it serves.

    Its last answer moves it on: to online, or to degraded with the reason. A node that can serve nothing is degraded.
    Raises NodeMoveRefused for a node that is suspended or revoked.
    """
    for job in Job.objects.open().filter(purpose=Purpose.SELF_TEST, options__node=node.pk):
        cancel.take_back(job.pk, "The node was started again.", now)
    if not node.move(NodeStatus.SELF_TEST, "It is tested with known answers.", "Wait a moment.", now):
        return []
    classes.refresh_node(node, now)
    tested = [(version, needs) for version, needs in _classes_of(node, now) if not classes.refusal(node, needs)]
    if not tested:
        reason = "It serves none of the models that the network offers."
        node.move(NodeStatus.DEGRADED, reason, NEXT_STEP, now)
    return [_queue(node, version, needs, now) for version, needs in tested]


def _classes_of(node: Node, now: datetime) -> list[tuple[ModelVersion, RequirementClass]]:
    """A class of its own for each version with a known answer."""
    versions = [v for v in catalog.active_versions() if v.manifest.get("self_test")]
    found = [(v, classes.for_version(v, v.manifest["self_test"]["kind"], now, only_node=node.pk)) for v in versions]
    for version in versions:
        # The class of everybody's tasks too, so that the node is eligible the moment it is online.
        classes.for_version(version, version.model.task, now)
    classes.refresh_node(node, now)
    return found


def _queue(node: Node, version: ModelVersion, needs: RequirementClass, now: datetime) -> Job:
    known = version.manifest["self_test"]
    inputs = tuple(known.get("inputs", ()))
    request = kinds.JobRequest(
        known["kind"],
        version.model.name,
        inputs=inputs,
        prompt=known.get("prompt", ""),
        options=known.get("options", {}),
        chunk_size=max(1, len(inputs)),
    )
    chunks = kinds.get(request.kind).split(request)
    job = Job.objects.create(
        id=new_id("job", now),
        purpose=Purpose.SELF_TEST,
        kind=request.kind,
        model=version.model.name,
        version=version.version,
        options={"node": node.pk},
        priority=PRIORITY,
        tasks_total=len(chunks),
        created_at=now,
        expires_at=now + timedelta(seconds=parameters.get("pool.self_test_s")),
    )
    queueing.enqueue(job, chunks, needs, now)
    hints.wake()
    return job
