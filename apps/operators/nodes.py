"""What an operator or an admin does to a node."""

from datetime import datetime

from apps.operators.models import Node, NodeStatus

REVOKED = "Enrol the machine again with a new token."
DRAINED = "Its operator drains it: no new tasks, current ones finish."


def revoke(node: Node, *, reason: str, now: datetime) -> bool:
    """End a node for good; its key and its broker account are refused from now on."""
    return node.move(NodeStatus.REVOKED, reason, REVOKED, now, revoked_at=now, connected=False)


def drain(node: Node, *, now: datetime) -> bool:
    """Give the node no new tasks; what it runs it finishes."""
    return node.move(NodeStatus.DRAINING, DRAINED, "Resume it when it should take tasks again.", now)


def resume(node: Node, *, now: datetime) -> bool:
    """Let a drained node take tasks again."""
    return node.move(NodeStatus.ONLINE, "", "", now)
