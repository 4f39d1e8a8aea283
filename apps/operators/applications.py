"""Applying and reviewing."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.core import events
from apps.core.models import User
from apps.ledger import faucet
from apps.operators import mail
from apps.operators.errors import ApplicationClosed, ReasonMissing
from apps.operators.models import Application, ApplicationStatus, Operator
from workers.protocol.ids import new_id


@transaction.atomic
def submit(user: User, data: dict[str, Any], now: datetime) -> Application:
    """Hand in an application, or again after a rejection. `data`: tier, region, hardware, experience."""
    application, _ = Application.objects.get_or_create(
        user=user, defaults={"id": new_id("app", now), "created_at": now, **data}
    )
    if not application.move(ApplicationStatus.SUBMITTED, submitted_at=now, reason="", **data):
        raise ApplicationClosed
    _tell(application, "application.submitted", now, user)
    mail.send(user, "received", {"application": application})
    return application


@transaction.atomic
def approve(application: Application, actor: User, now: datetime) -> Operator:
    """Make the applicant an operator; on a testnet the treasury grants the tier's stake once."""
    if not application.move(ApplicationStatus.APPROVED, reviewed_at=now, reviewed_by=actor, reason=""):
        raise ApplicationClosed
    operator = Operator.objects.create(
        id=new_id("op", now),
        user=application.user,
        tier=application.tier,
        region=application.region,
        approved_at=now,
    )
    if settings.IS_TESTNET:
        faucet.grant_tier_stake(application.user, application.tier, now)
    _tell(application, "application.approved", now, actor)
    mail.send(application.user, "approved", {"application": application})
    return operator


@transaction.atomic
def reject(application: Application, actor: User, reason: str, now: datetime) -> None:
    """Say no, with what was not met; the applicant may change the application and hand it in again."""
    if not reason.strip():
        raise ReasonMissing
    if not application.move(ApplicationStatus.REJECTED, reviewed_at=now, reviewed_by=actor, reason=reason.strip()):
        raise ApplicationClosed
    _tell(application, "application.rejected", now, actor)
    mail.send(application.user, "rejected", {"application": application})


def _tell(application: Application, kind: str, now: datetime, actor: User) -> None:
    data = {"tier": application.tier, "reason": application.reason}
    topics = ["admin", f"user.{application.user_id}"]
    events.emit(kind, subject=application.pk, topics=topics, data=data, now=now, actor=actor)


def place_in_queue(application: Application) -> int:
    """How many were handed in before this one and still wait, plus one."""
    waiting = Application.objects.filter(status=ApplicationStatus.SUBMITTED, submitted_at__lt=application.submitted_at)
    return waiting.count() + 1
