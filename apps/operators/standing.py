"""Whether an operator's nodes may work."""

from datetime import datetime

from django.db import transaction

from apps.core import events
from apps.core.models import User
from apps.operators.errors import ReasonMissing
from apps.operators.models import Operator


@transaction.atomic(durable=True)
def suspend(operator: Operator, *, actor: User, reason: str, now: datetime) -> bool:
    """Give an operator's nodes no tasks; False where somebody was faster. Raises ReasonMissing."""
    if not reason.strip():
        raise ReasonMissing
    if not operator.move(Operator.Status.SUSPENDED, reason.strip()):
        return False
    _tell(operator, "operator.suspended", actor, now)
    return True


@transaction.atomic(durable=True)
def reinstate(operator: Operator, *, actor: User, now: datetime) -> bool:
    """Let an operator's nodes work again; False where they may already."""
    if not operator.move(Operator.Status.ACTIVE, ""):
        return False
    _tell(operator, "operator.reinstated", actor, now)
    return True


def _tell(operator: Operator, kind: str, actor: User, now: datetime) -> None:
    topics = ["admin", f"user.{operator.user_id}"]
    events.emit(kind, subject=operator.pk, topics=topics, data={"reason": operator.reason}, now=now, actor=actor)
