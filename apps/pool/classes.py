"""Requirement classes: which nodes can do which tasks, kept as rows, and why the others cannot."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.db import transaction
from django.db.models import Count, QuerySet

from apps.core import parameters
from apps.models.models import ModelVersion
from apps.operators.models import Node, NodeStatus
from apps.pool.models import NodeClass, RequirementClass, Task
from workers.protocol import canonical

INFERENCE_LANES = ("inference.cuda", "inference.metal", "inference.cpu")
FRAMEWORKS = {"onnx": "onnxruntime", "onnx-embed": "onnxruntime", "onnx-generate": "onnxruntime", "detectors": "numba"}
# Why a node cannot take a task, in the order in which they are looked for: (one node, several nodes).
REASONS: dict[str, tuple[str, str]] = {
    "offline": ("is not online", "are not online"),
    "reputation": ("has too low a reputation", "have too low a reputation"),
    "model": ("lacks the model", "lack the model"),
    "framework": ("lacks the framework", "lack the framework"),
    "lane": ("has no lane for it", "have no lane for it"),
    "memory": ("is too small", "are too small"),
    "tier": ("is of another tier", "are of another tier"),
    "region": ("is in another region", "are in another region"),
    "full": ("is full", "are full"),
}


@dataclass(frozen=True)
class Feasibility:
    """How a class of tasks stands with the network: nodes in all, those that fit, and the slots of those."""

    nodes: int
    fit: int
    slots: int
    busy: int
    refusals: tuple[tuple[str, int], ...]

    @property
    def feasible(self) -> bool:
        """Whether some node can do the work, be it later."""
        return self.fit > 0

    def sentence(self) -> str:
        """Such as "12 nodes: 7 lack the model, 3 are full, 2 are too small"."""
        if not self.nodes:
            return "The network has no nodes yet."
        parts = [f"{count} {REASONS[code][count > 1]}" for code, count in self.refusals]
        free = self.nodes - sum(count for _, count in self.refusals)
        parts += [f"{free} can take it now"] if free else []
        return f"{self.nodes} {'node' if self.nodes == 1 else 'nodes'}: {', '.join(parts)}"


def for_version(version: ModelVersion, kind: str, now: datetime, *, only_node: str | None = None) -> RequirementClass:
    """The class of a model version's tasks, made when first asked for; `only_node` for a node's self-tests."""
    manifest = version.manifest
    needs: dict[str, Any] = {
        "kind": kind,
        "model": version.model.name,
        "version": version.version,
        "lanes": list(manifest.get("lanes", INFERENCE_LANES)),
        "min_memory_mb": version.min_memory_mb,
        "framework": FRAMEWORKS.get(str(manifest.get("engine", "")), ""),
        "tier": str(manifest.get("tier", "")),
        "region": str(manifest.get("region", "")),
    }
    digest = sha256(canonical.dumps({**needs, "only_node": only_node})).hexdigest()
    found = RequirementClass.objects.filter(digest=digest).first()
    if found is not None:
        return found
    made, created = RequirementClass.objects.get_or_create(
        digest=digest, defaults={**needs, "only_node_id": only_node, "created_at": now}
    )
    if created:
        refresh_class(made)
    return made


def refusal(node: Node, needs: RequirementClass) -> str:
    """Why the node cannot do tasks of the class, as a code of REASONS; empty if it can. Says nothing of its state."""
    probe: Mapping[str, Any] = node.probe
    served = node.served_models
    checks = {
        "model": (needs.only_node_id not in {None, node.pk}) or bool(served and needs.model not in served),
        "framework": bool(needs.framework and needs.framework not in probe.get("frameworks", [])),
        "lane": not lanes_for(node, needs),
        "memory": node.memory_mb < needs.min_memory_mb,
        "tier": bool(needs.tier and node.operator.tier != needs.tier),
        "region": bool(needs.region and node.operator.region != needs.region),
    }
    return next((code for code, refused in checks.items() if refused), "")


def lanes_for(node: Node, needs: RequirementClass) -> list[str]:
    """The node's lanes that take tasks of the class, best first."""
    return [lane for lane in needs.lanes if int(node.lanes.get(lane, 0)) > 0]


def _rows(pairs: Iterable[tuple[Node, RequirementClass]]) -> list[NodeClass]:
    return [
        NodeClass(node=node, requires=needs, lane=lane, self_test=needs.only_node_id is not None)
        for node, needs in pairs
        if not refusal(node, needs)
        for lane in lanes_for(node, needs)
    ]


def _rewrite(current: QuerySet[NodeClass], wanted: list[NodeClass]) -> None:
    keys = {(row.node_id, row.requires_id, row.lane) for row in wanted}
    stale = [row.pk for row in current if (row.node_id, row.requires_id, row.lane) not in keys]
    NodeClass.objects.filter(pk__in=stale).delete()
    NodeClass.objects.bulk_create(wanted, ignore_conflicts=True)


@transaction.atomic
def refresh_node(node: Node, now: datetime) -> None:
    """Rewrite what a node is eligible for; call it when the node's lanes, probe or operator have changed."""
    pairs = ((node, needs) for needs in RequirementClass.objects.filter(only_node=None))
    own = ((node, needs) for needs in RequirementClass.objects.filter(only_node=node))
    _rewrite(NodeClass.objects.filter(node=node), _rows([*pairs, *own]))


@transaction.atomic
def refresh_class(needs: RequirementClass) -> None:
    """Rewrite which nodes are eligible for a class."""
    nodes = Node.objects.not_revoked().select_related("operator")
    if needs.only_node_id is not None:
        nodes = nodes.filter(pk=needs.only_node_id)
    _rewrite(NodeClass.objects.filter(requires=needs), _rows((node, needs) for node in nodes))


def refresh_all(now: datetime) -> None:
    """Rewrite every node's eligibility: what a missed refresh left behind is found here."""
    for node in Node.objects.not_revoked().select_related("operator").iterator(chunk_size=500):
        refresh_node(node, now)


@transaction.atomic
def set_served(node: Node, names: list[str], now: datetime) -> None:
    """Note which models a node says it serves (none named: all that fit) and refresh it if that has changed."""
    if node.served_models == names:
        return
    node.served_models = names
    node.save(update_fields=["served_models"])
    refresh_node(node, now)


def busy_slots(nodes: Iterable[str]) -> Counter[tuple[str, str]]:
    """Tasks held by each (node, lane)."""
    held = Task.objects.filter(lease_expires_at__isnull=False, node__in=list(nodes))
    return Counter(
        {
            (row["node_id"], row["lane"]): row["count"]
            for row in held.values("node_id", "lane").annotate(count=Count("pk"))
        }
    )


def out_of_work(node: Node) -> str:
    """Why the node gets no work at all just now, as a code of REASONS; empty if it does."""
    if node.status != NodeStatus.ONLINE:
        return "offline"
    return "reputation" if node.reputation < parameters.get("reputation.work_below") else ""


def feasibility(needs: RequirementClass) -> Feasibility:
    """How many nodes fit, and why the others do not."""
    nodes = list(
        Node.objects.not_revoked().exclude(status=NodeStatus.PENDING).select_related("operator").order_by("pk")
    )
    busy = busy_slots(node.pk for node in nodes)
    refusals: Counter[str] = Counter()
    fit = slots = used = 0
    for node in nodes:
        why = out_of_work(node) or refusal(node, needs)
        if why:
            refusals[why] += 1
            continue
        lanes = lanes_for(node, needs)
        here = sum(int(node.lanes[lane]) for lane in lanes)
        taken = min(here, sum(busy[node.pk, lane] for lane in lanes))
        fit, slots, used = fit + 1, slots + here, used + taken
        refusals["full"] += taken >= here
    ordered = tuple((code, refusals[code]) for code in REASONS if refusals[code])
    return Feasibility(len(nodes), fit, slots, used, tuple(sorted(ordered, key=lambda pair: -pair[1])))
