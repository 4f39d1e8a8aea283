"""What anybody may read: health, the network's state, its nodes and tasks. Never a prompt, a result or a person."""

from typing import Any

from django.db.models import BigIntegerField, Count, Q, QuerySet, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse

from apps.operators.models import Node, NodeStatus
from apps.pool.models import Purpose, Task, TaskStatus
from apps.pool.node_api.errors import BodyMalformed, NodeUnknown
from apps.pool.node_api.http import public

MOST_TASKS = 500
QUEUED = "queued"
# The compute pool's words for a task's states, and ours.
STATES: dict[str, tuple[TaskStatus, ...]] = {
    QUEUED: (TaskStatus.PENDING,),
    "running": (TaskStatus.CLAIMED, TaskStatus.RUNNING),
    "completed": (TaskStatus.COMPLETED,),
    "failed": (TaskStatus.FAILED,),
    "cancelled": (TaskStatus.CANCELLED,),
}
WORD = {status: word for word, statuses in STATES.items() for status in statuses}
PROBE = (
    "gpu_type", "gpu_name", "gpu_memory_mb", "cpu_name", "cpu_cores", "memory_mb", "memory_gb", "frameworks",
    "cuda_available", "metal_support", "mlx_available", "gflops",
)  # fmt: skip


def health(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return public({"status": "ok"})


def status(request: HttpRequest) -> HttpResponse:
    """Nodes by state, tasks by state, and what the online nodes have."""
    nodes = dict(Node.objects.not_revoked().order_by().values_list("status").annotate(Count("pk")))
    tasks = dict(Task.objects.order_by().values_list("status").annotate(Count("pk")))
    online = Node.objects.online()
    has_gpu = ~Q(probe__gpu_type="cpu") & Q(probe__gpu_type__isnull=False)
    sums = online.aggregate(
        gpus=Count("pk", filter=has_gpu),
        gpu_memory_mb=Sum(number("probe__gpu_memory_mb")),
        memory_mb=Sum(number("probe__memory_mb")),
        cpu_cores=Sum(number("probe__cpu_cores")),
        gflops=Sum(number("probe__gflops")),
    )
    return public(
        {
            "status": "ok",
            "nodes": {"total": sum(nodes.values()), **{state: nodes.get(state, 0) for state in NodeStatus.values[:-1]}},
            "tasks": {word: sum(tasks.get(s, 0) for s in statuses) for word, statuses in STATES.items()},
            "gpu_capacity": {name: int(value or 0) for name, value in sums.items()},
        }
    )


def number(path: str) -> Cast:
    """A probe's whole number as the database's."""
    return Cast(KT(path), BigIntegerField())


def nodes(request: HttpRequest) -> HttpResponse:
    """All nodes, or those in `?status=`."""
    rows = Node.objects.not_revoked().select_related("operator")
    wanted = request.GET.get("status")
    if wanted is not None:
        if wanted not in NodeStatus.values:
            raise BodyMalformed(f"status is one of {', '.join(NodeStatus.values)}.")
        rows = rows.filter(status=wanted)
    return public({"nodes": [described(node) for node in rows]})


def node(request: HttpRequest, node_id: str) -> HttpResponse:
    """One node."""
    row = Node.objects.select_related("operator").filter(pk=node_id).first()
    if row is None:
        raise NodeUnknown
    return public(described(row))


def described(node: Node) -> dict[str, Any]:
    """What the network says of a node in public."""
    probe = node.probe or {}
    return {
        "id": node.pk,
        "node_id": node.pk,
        "name": node.name,
        "status": node.status,
        "reason": node.reason,
        "next_step": node.next_step,
        "tier": node.operator.tier,
        "region": node.operator.region,
        **{name: probe[name] for name in PROBE if name in probe},
        "lanes": node.lanes,
        "free_slots": node.free_slots,
        "models": node.served_models,
        "load": node.load,
        "reputation": node.reputation,
        "last_seen_at": node.last_seen_at,
        "enrolled_at": node.enrolled_at,
    }


def tasks(request: HttpRequest) -> HttpResponse:
    """Queued and running tasks, or those in `?status=`; the newest first, 500 at most."""
    wanted = request.GET.get("status")
    if wanted is not None and wanted not in STATES:
        raise BodyMalformed(f"status is one of {', '.join(STATES)}.")
    states = STATES[wanted] if wanted else STATES[QUEUED] + STATES["running"]
    rows: QuerySet[Task] = Task.objects.filter(status__in=states, job__purpose=Purpose.REQUEST)
    rows = rows.select_related("job").order_by("-pk")[:MOST_TASKS]
    return public({"tasks": [summary(task) for task in rows]})


def summary(task: Task) -> dict[str, Any]:
    """What the network says of a task in public."""
    return {
        "task_id": task.pk,
        "task_type": task.job.kind,
        "status": WORD[TaskStatus(task.status)],
        "model": task.job.model,
        "priority": task.job.priority,
        "assigned_node": task.node_id,
        "attempt": task.attempt,
        "created_at": task.created_at,
        "claimed_at": task.claimed_at,
        "completed_at": task.completed_at,
    }
