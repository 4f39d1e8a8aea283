"""Applying and reviewing."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Aggregate, DurationField, F
from django.utils.timesince import timesince

from apps.core import events
from apps.core.models import User
from apps.ledger import faucet
from apps.ledger.retries import retried
from apps.operators import bans, mail, places
from apps.operators.errors import ApplicantGone, ApplicationClosed, ReasonMissing, SelfReview
from apps.operators.models import Application, ApplicationStatus, Criterion, Operator
from apps.operators.wallet_errors import EmailMissing
from workers.protocol.ids import new_id

FIELDS = frozenset({"tier", "region", "hardware", "probe", "experience"})
# Reviews that say how long one takes.
LATELY = timedelta(days=90)


class Median(Aggregate):
    """The middle value, in SQL."""

    function = "percentile_cont"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = DurationField()


def open_application(user: User, now: datetime) -> Application:
    """The user's application, begun when first asked for."""
    return Application.objects.get_or_create(user=user, defaults={"id": new_id("app", now), "created_at": now})[0]


@transaction.atomic(durable=True)
def save_draft(user: User, data: dict[str, Any], now: datetime) -> Application:
    """Keep what is filled in so far, without handing it in. Raises ApplicationClosed."""
    application = open_application(user, now)
    kept = {name: value for name, value in data.items() if name in FIELDS}
    same = Application.objects.filter(pk=application.pk, status=application.status)
    if not application.can_be_edited or same.update(**kept) != 1:
        raise ApplicationClosed
    application.refresh_from_db()
    return application


@transaction.atomic(durable=True)
def submit(user: User, data: dict[str, Any], now: datetime) -> Application:
    """Hand in an application, or again after a rejection. `data`: tier, region, hardware, probe, experience.

    Raises ApplicationClosed where one is under review or approved, or EmailMissing for an account without an address.
    """
    if not user.email:
        raise EmailMissing
    bans.refuse(now, user=user)
    application = open_application(user, now)
    if not application.move(ApplicationStatus.SUBMITTED, submitted_at=now, reason="", criterion="", **data):
        raise ApplicationClosed
    _tell(application, "application.submitted", now, user)
    told = {"application": application, **queue_context(application, now)}
    mail.notify(user, "application_received", told, now)
    return application


@retried
@transaction.atomic(durable=True)
def approve(application: Application, actor: User, now: datetime) -> Operator:
    """Make the applicant an operator; on a testnet the treasury grants the tier's stake once.

    Raises ApplicationClosed where somebody was faster, SelfReview, ApplicantGone, AccountBanned, TierFull, or
    InsufficientFunds of the treasury.
    """
    bans.refuse(now, user=application.user)
    _review(application, ApplicationStatus.APPROVED, actor, now)
    operator = Operator.objects.create(
        id=new_id("op", now),
        user=application.user,
        tier=application.tier,
        region=application.region,
        approved_at=now,
    )
    places.take(operator)
    if settings.IS_TESTNET:
        faucet.grant_tier_stake(application.user, application.tier, now)
    _tell(application, "application.approved", now, actor)
    mail.notify(application.user, "application_approved", {"application": application}, now)
    return operator


@transaction.atomic(durable=True)
def reject(application: Application, actor: User, reason: str, now: datetime, *, criterion: str) -> None:
    """Say no, with the criterion that was not met and why; the applicant may change it and hand it in again.

    Raises ReasonMissing, ApplicationClosed where somebody was faster, SelfReview or ApplicantGone.
    """
    reason = reason.strip()
    if not reason or criterion not in Criterion.values:
        raise ReasonMissing
    _review(application, ApplicationStatus.REJECTED, actor, now, reason=reason, criterion=criterion)
    _tell(application, "application.rejected", now, actor)
    mail.notify(application.user, "application_rejected", {"application": application}, now)


def _review(application: Application, to: ApplicationStatus, actor: User, now: datetime, **changes: str) -> None:
    if application.user_id == actor.pk:
        raise SelfReview
    # Locked before all else, as the deletion of an account does: the stake is granted to somebody who is there.
    if User.objects.locked(application.user_id) is None:
        raise ApplicantGone
    # An attempt that was taken back may have left this object, not its row, as decided.
    application.refresh_from_db(fields=["status"])
    if not application.move(to, reviewed_at=now, reviewed_by=actor, **changes):
        raise ApplicationClosed


def _tell(application: Application, kind: str, now: datetime, actor: User) -> None:
    """The event keeps what was handed in, since the next submission overwrites it."""
    data = {
        "tier": application.tier,
        "region": application.region,
        "hardware": application.hardware,
        "criterion": application.criterion,
        "reason": application.reason,
    }
    topics = ["admin", f"user.{application.user_id}"]
    events.emit(kind, subject=application.pk, topics=topics, data=data, now=now, actor=actor)


def place_in_queue(application: Application) -> int:
    """How many were handed in before this one and still wait, plus one."""
    return Application.objects.waiting().filter(submitted_at__lt=application.submitted_at).count() + 1


def queue_context(application: Application | None, now: datetime) -> dict[str, Any]:
    """For the page of an application that waits: its place, the usual time (None: not known), its tier."""
    if application is None or application.status != ApplicationStatus.SUBMITTED:
        return {}
    usual = median_review(now)
    return {
        "place": place_in_queue(application),
        "usual": timesince(now - usual, now) if usual else None,
        "tier_places": places.of_tiers()[application.tier],
    }


def median_review(now: datetime) -> timedelta | None:
    """How long half of the reviews of the last 90 days took at most; None while there are none."""
    decided = Application.objects.filter(
        status__in=[ApplicationStatus.APPROVED, ApplicationStatus.REJECTED],
        reviewed_at__gt=now - LATELY,
        reviewed_at__gte=F("submitted_at"),
    )
    found: timedelta | None = decided.aggregate(median=Median(F("reviewed_at") - F("submitted_at")))["median"]
    return found
