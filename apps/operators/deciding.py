"""What an admin decides about a node, with who decided it and why in the node's history."""

from datetime import datetime

from django.db import transaction

from apps.core import events
from apps.core.models import User
from apps.operators import bans, nodes, reputation
from apps.operators.errors import ReasonMissing
from apps.operators.models import Node


def suspend(node: Node, *, actor: User, reason: str, now: datetime) -> bool:
    """Keep a node from working. Raises ReasonMissing or NodeMoveRefused."""
    moved = nodes.suspend(node, reason=given(reason), now=now)
    return moved and note("node.suspended", node, actor, reason, now)


def revoke(node: Node, *, actor: User, reason: str, now: datetime) -> bool:
    """End a node for good. Raises ReasonMissing or NodeMoveRefused."""
    moved = nodes.revoke(node, reason=given(reason), now=now)
    return moved and note("node.revoked", node, actor, reason, now)


def reinstate(node: Node, *, actor: User, reason: str, now: datetime) -> bool:
    """Let a suspended node back, with as much reputation as work needs.

    Raises ReasonMissing, NodeMoveRefused, or NodeBanned while a ban covers it.
    """
    bans.refuse(now, node_id=node.pk)
    given(reason)
    if not nodes.reinstate(node, now=now):
        return False
    reputation.restore(node.pk, reason, now)
    return note("node.reinstated", node, actor, reason, now)


def given(reason: str) -> str:
    """The reason; raises ReasonMissing where there is none."""
    if not reason.strip():
        raise ReasonMissing
    return reason.strip()


def note(kind: str, node: Node, actor: User, reason: str, now: datetime) -> bool:
    """Who did it and why, in the node's history; the move itself has told everybody else."""
    with transaction.atomic():
        events.emit(kind, subject=node.pk, topics=["admin"], data={"reason": reason.strip()}, now=now, actor=actor)
    return True
