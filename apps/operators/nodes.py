"""What an operator or an admin does to a node."""

from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from apps.operators.models import Node, NodeStatus

Follower = Callable[[str, NodeStatus, datetime], None]
_followers: list[Follower] = []
REVOKED = "Enrol the machine again with a new token."
SUSPENDED = "Ask the network's admins what has to change."
REINSTATED = "An admin lifted its suspension; waiting for it to connect."
DRAINED = "Its operator drains it: no new tasks, current ones finish."


def follow(follower: Follower) -> None:
    """Have `follower(node_id, status, now)` called once such a change is committed: the link to nodes acts on it.

    It is a hint; whoever follows sweeps over the rows as well.
    """
    _followers.append(follower)


def _move(node: Node, to: NodeStatus, reason: str, next_step: str, now: datetime) -> bool:
    with transaction.atomic(durable=True):
        return move(node, to, reason, next_step, now)


@transaction.atomic
def move(node: Node, to: NodeStatus, reason: str, next_step: str, now: datetime) -> bool:
    """Move a node as part of something larger; followers hear of it after its commit. False where it has moved."""
    changes = {"revoked_at": now, "connected": False} if to == NodeStatus.REVOKED else {}
    if not node.move(to, reason, next_step, now, **changes):
        return False
    for follower in _followers:
        transaction.on_commit(_call(follower, node.pk, to, now), robust=True)
    return True


def _call(follower: Follower, node_id: str, status: NodeStatus, now: datetime) -> Callable[[], None]:
    # A function, since Django names what failed after a commit, and a partial has no name.
    def call() -> None:
        follower(node_id, status, now)

    return call


def revoke(node: Node, *, reason: str, now: datetime) -> bool:
    """End a node for good; its key and its broker account are refused from now on."""
    return _move(node, NodeStatus.REVOKED, reason, REVOKED, now)


def suspend(node: Node, *, reason: str, now: datetime) -> bool:
    """Keep a node from working until an admin lets it back."""
    return _move(node, NodeStatus.SUSPENDED, reason, SUSPENDED, now)


def reinstate(node: Node, *, now: datetime) -> bool:
    """Let a suspended node connect again; it comes online by itself."""
    return _move(node, NodeStatus.OFFLINE, REINSTATED, "Run `mesh node run` on the machine.", now)


def drain(node: Node, *, now: datetime) -> bool:
    """Give the node no new tasks; what it runs it finishes."""
    return _move(node, NodeStatus.DRAINING, DRAINED, "Resume it when it should take tasks again.", now)


def resume(node: Node, *, now: datetime) -> bool:
    """Let a drained node take tasks again."""
    return _move(node, NodeStatus.ONLINE, "", "", now)
