"""A node's states: one private compare-and-set, with its event, and the words for each reason."""

from datetime import datetime
from typing import Any

from django.db import transaction

from apps.core import events
from apps.core.models import User
from apps.operators.errors import NodeMoveRefused
from apps.operators.models import NODE_TRANSITIONS, Node, NodeEvent, NodeStatus

LEAVING = {NodeStatus.OFFLINE, NodeStatus.REVOKED, NodeStatus.SUSPENDED}


@transaction.atomic
def move(
    node: Node,
    to: NodeStatus,
    *,
    now: datetime,
    reason: str = "",
    next_step: str = "",
    actor: User | None = None,
    **changes: Any,
) -> bool:
    """Move a node from the state it was read in; False where it was moved meanwhile. Raises NodeMoveRefused."""
    old = NodeStatus(node.status)
    if to not in NODE_TRANSITIONS[old]:
        raise NodeMoveRefused(f"A node that is {old.label} cannot become {NodeStatus(to).label}.")
    values = {"status": to, "reason": reason, "next_step": next_step, "status_at": now, **changes}
    if Node.objects.filter(pk=node.pk, status=old).update(**values) != 1:
        return False
    for name, value in values.items():
        setattr(node, name, value)
    NodeEvent.objects.create(node=node, at=now, old=old, new=to, reason=reason)
    tell(node, kind_of(old, to), now, actor)
    return True


def kind_of(old: NodeStatus, new: NodeStatus) -> str:
    """The event's kind: joined and left are what the network counts."""
    if new == NodeStatus.ONLINE and old != NodeStatus.DRAINING:
        return "node.joined"
    return "node.left" if new in LEAVING else "node.changed"


def tell(node: Node, kind: str, now: datetime, actor: User | None = None) -> None:
    """Write the event and wake the pages that show the node."""
    data = {"name": node.name, "status": str(node.status), "reason": node.reason}
    topics = ["network", f"node.{node.pk}", f"user.{node.operator.user_id}"]
    events.emit(kind, subject=node.pk, topics=topics, data=data, now=now, actor=actor)


def revoke(node: Node, *, reason: str, now: datetime, actor: User | None) -> bool:
    """End a node for good; its key and its broker account are refused from now on."""
    return move(
        node,
        NodeStatus.REVOKED,
        now=now,
        reason=reason,
        next_step="Enrol the machine again with a new token.",
        actor=actor,
        revoked_at=now,
        connected=False,
    )


def drain(node: Node, *, now: datetime, actor: User | None) -> bool:
    """Give the node no new tasks; what it runs it finishes."""
    return move(
        node,
        NodeStatus.DRAINING,
        now=now,
        reason="Its operator drains it: no new tasks, current ones finish.",
        next_step="Resume it when it should take tasks again.",
        actor=actor,
    )


def resume(node: Node, *, now: datetime, actor: User | None) -> bool:
    """Let a drained node take tasks again."""
    return move(node, NodeStatus.ONLINE, now=now, actor=actor)
