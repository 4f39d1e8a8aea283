"""Applications, operators and their stakes."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Tier(models.TextChoices):
    ALL = "ALL", "ALL"
    ORACLE = "ORACLE", "ORACLE"
    GUARDIAN = "GUARDIAN", "GUARDIAN"


class ApplicationStatus(models.TextChoices):
    DRAFT = "draft", _("draft")
    SUBMITTED = "submitted", _("awaiting review")
    APPROVED = "approved", _("approved")
    REJECTED = "rejected", _("rejected")


class Criterion(models.TextChoices):
    """What an application can fail on."""

    HARDWARE = "hardware", _("hardware of the tier")
    BANDWIDTH = "bandwidth", _("upload bandwidth")
    REGION = "region", _("region")
    EXPERIENCE = "experience", _("experience")
    IDENTITY = "identity", _("who applies")
    DUPLICATE = "duplicate", _("one operator, one application")
    TERMS = "terms", _("terms of the network")
    OTHER = "other", _("something else")


APPLICATION_TRANSITIONS: dict[ApplicationStatus, frozenset[ApplicationStatus]] = {
    ApplicationStatus.DRAFT: frozenset({ApplicationStatus.SUBMITTED}),
    ApplicationStatus.SUBMITTED: frozenset({ApplicationStatus.APPROVED, ApplicationStatus.REJECTED}),
    ApplicationStatus.REJECTED: frozenset({ApplicationStatus.SUBMITTED}),
    ApplicationStatus.APPROVED: frozenset(),
}


APPLICATION_NEXT_STEPS = {
    ApplicationStatus.DRAFT: _("Complete it and hand it in."),
    ApplicationStatus.SUBMITTED: _("Wait for the review; you get a mail."),
    ApplicationStatus.REJECTED: _("Change what the reason names and hand it in again."),
    ApplicationStatus.APPROVED: _("Lock the stake, then register a node."),
}


class ApplicationQuerySet(models.QuerySet["Application"]):
    """Applications by whether somebody has to look at them."""

    def waiting(self) -> "ApplicationQuerySet":
        """Handed in, by people who are still there: nobody can be told of the review of a closed account."""
        return self.filter(status=ApplicationStatus.SUBMITTED, user__is_active=True)


class Application(models.Model):
    """Somebody asks to run nodes: which tier, where, on what hardware."""

    id = models.CharField(primary_key=True, max_length=40)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="application")
    tier = models.CharField(max_length=12, choices=Tier, blank=True)
    region = models.CharField(max_length=40, blank=True)
    hardware = models.JSONField(default=dict)
    probe = models.JSONField(default=dict)
    experience = models.TextField(blank=True)
    status = models.CharField(max_length=12, choices=ApplicationStatus, default=ApplicationStatus.DRAFT)
    criterion = models.CharField(max_length=12, choices=Criterion, blank=True)
    reason = models.TextField(blank=True)
    submitted_at = models.DateTimeField(null=True)
    reviewed_at = models.DateTimeField(null=True)
    reviewed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    objects = ApplicationQuerySet.as_manager()

    class Meta:
        ordering = ["submitted_at", "created_at"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status=ApplicationStatus.REJECTED) | ~Q(reason=""), name="operators_rejected_with_reason"
            ),
            models.CheckConstraint(
                condition=Q(status=ApplicationStatus.DRAFT) | (Q(tier__in=Tier.values) & Q(submitted_at__isnull=False)),
                name="operators_application_complete",
            ),
        ]
        indexes = [models.Index(fields=["status", "submitted_at"], name="operators_review_queue")]

    def __str__(self) -> str:
        return f"{self.user} · {self.tier}"

    @property
    def can_be_edited(self) -> bool:
        """Before submission, and again after a rejection."""
        return ApplicationStatus.SUBMITTED in APPLICATION_TRANSITIONS[ApplicationStatus(self.status)]

    @property
    def next_step(self) -> str:
        """What the applicant can do now."""
        return str(APPLICATION_NEXT_STEPS[ApplicationStatus(self.status)])

    def move(self, to: ApplicationStatus, **changes: Any) -> bool:
        """Compare-and-set from the status that this row was read with; False where somebody was faster."""
        old = ApplicationStatus(self.status)
        if to not in APPLICATION_TRANSITIONS[old]:
            return False
        if Application.objects.filter(pk=self.pk, status=old).update(status=to, **changes) != 1:
            return False
        self.refresh_from_db()
        return True


class OperatorQuerySet(models.QuerySet["Operator"]):
    """Operators, one at a time where that matters."""

    def locked(self, operator_id: str) -> "Operator":
        """The operator with its user, its row locked until commit; rows that refer to it can still be written."""
        rows = self.select_for_update(no_key=True, of=("self",)).select_related("user")
        return rows.get(pk=operator_id)


class Operator(models.Model):
    """An approved operator: one owner, one payout wallet, one tier."""

    class Status(models.TextChoices):
        ACTIVE = "active", _("active")
        SUSPENDED = "suspended", _("suspended")

    id = models.CharField(primary_key=True, max_length=40)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="operator")
    tier = models.CharField(max_length=12, choices=Tier)
    region = models.CharField(max_length=40)
    status = models.CharField(max_length=12, choices=Status, default=Status.ACTIVE)
    reason = models.TextField(blank=True)
    approved_at = models.DateTimeField()

    objects = OperatorQuerySet.as_manager()

    class Meta:
        ordering = ["-approved_at"]
        constraints = [
            models.CheckConstraint(condition=Q(status="active") | ~Q(reason=""), name="operators_suspended_with_reason")
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.tier})"

    def move(self, to: "Operator.Status", reason: str) -> bool:
        """Suspend or reinstate by compare-and-set; False where it has that status already."""
        if Operator.objects.filter(pk=self.pk).exclude(status=to).update(status=to, reason=reason) != 1:
            return False
        self.status, self.reason = to, reason
        return True

    @property
    def has_stake(self) -> bool:
        """Whether the tier's stake is locked, or short of it for less time than there is to top it up."""
        return self.stakes.holding().exists()


class StakeQuerySet(models.QuerySet["Stake"]):
    """Stakes by whether they still stand behind their operator."""

    def live(self) -> "StakeQuerySet":
        """Those that were not taken back; one of an operator at most."""
        return self.exclude(status=Stake.Status.RELEASED)

    def holding(self) -> "StakeQuerySet":
        """Those whose operator may work."""
        return self.filter(status__in=[Stake.Status.LOCKED, Stake.Status.SHORT])


class Stake(models.Model):
    """What an operator has at stake for the tier. It follows from the ledger; `apps.operators.stakes` keeps it so."""

    class Status(models.TextChoices):
        LOCKED = "locked", _("locked")
        SHORT = "short", _("short")
        OVERDUE = "overdue", _("overdue")
        RELEASED = "released", _("released")

    id = models.UUIDField(primary_key=True)
    operator = models.ForeignKey(Operator, on_delete=models.PROTECT, related_name="stakes")
    amount = models.BigIntegerField(help_text=_("Base units that are not being taken back."))
    status = models.CharField(max_length=12, choices=Status, default=Status.LOCKED)
    reason = models.TextField(blank=True)
    next_step = models.TextField(blank=True)
    locked_at = models.DateTimeField()
    short_until = models.DateTimeField(null=True)

    objects = StakeQuerySet.as_manager()

    class Meta:
        ordering = ["-locked_at"]
        constraints = [
            models.UniqueConstraint(fields=["operator"], condition=~Q(status="released"), name="operators_one_stake"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="operators_stake_positive"),
            models.CheckConstraint(
                condition=~Q(status__in=["short", "overdue"]) | (~Q(reason="") & Q(short_until__isnull=False)),
                name="operators_short_stake_says_why",
            ),
        ]
        indexes = [models.Index(fields=["short_until"], name="operators_stake_short", condition=Q(status="short"))]

    def __str__(self) -> str:
        return f"{self.operator_id}: {self.amount}"
