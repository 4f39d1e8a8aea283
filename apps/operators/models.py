"""Operators and what is theirs."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.core import events
from apps.operators.errors import NodeMoveRefused


class Tier(models.TextChoices):
    ALL = "ALL", "ALL"
    ORACLE = "ORACLE", "ORACLE"
    GUARDIAN = "GUARDIAN", "GUARDIAN"


class ApplicationStatus(models.TextChoices):
    DRAFT = "draft", _("draft")
    SUBMITTED = "submitted", _("awaiting review")
    APPROVED = "approved", _("approved")
    REJECTED = "rejected", _("rejected")


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


class Application(models.Model):
    """Somebody asks to run nodes: which tier, where, on what hardware."""

    id = models.CharField(primary_key=True, max_length=40)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="application")
    tier = models.CharField(max_length=12, choices=Tier, blank=True)
    region = models.CharField(max_length=40, blank=True)
    hardware = models.JSONField(default=dict)
    experience = models.TextField(blank=True)
    status = models.CharField(max_length=12, choices=ApplicationStatus, default=ApplicationStatus.DRAFT)
    reason = models.TextField(blank=True)
    submitted_at = models.DateTimeField(null=True)
    reviewed_at = models.DateTimeField(null=True)
    reviewed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

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
        """Whether the tier's stake is locked."""
        return self.stakes.filter(status=Stake.Status.LOCKED).exists()


class Stake(models.Model):
    """MESH locked in the operator's stake account."""

    class Status(models.TextChoices):
        LOCKED = "locked", _("locked")
        RELEASED = "released", _("released")

    id = models.UUIDField(primary_key=True)
    operator = models.ForeignKey(Operator, on_delete=models.PROTECT, related_name="stakes")
    amount = models.BigIntegerField(help_text=_("Base units. The row's id is its transfer's."))
    status = models.CharField(max_length=12, choices=Status, default=Status.LOCKED)
    locked_at = models.DateTimeField()

    class Meta:
        ordering = ["-locked_at"]
        constraints = [
            models.UniqueConstraint(fields=["operator"], condition=Q(status="locked"), name="operators_one_stake"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="operators_stake_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.operator_id}: {self.amount}"


class NodeStatus(models.TextChoices):
    PENDING = "pending", _("pending")
    SELF_TEST = "self_test", _("self-test")
    ONLINE = "online", _("online")
    DEGRADED = "degraded", _("degraded")
    DRAINING = "draining", _("draining")
    OFFLINE = "offline", _("offline")
    SUSPENDED = "suspended", _("suspended")
    REVOKED = "revoked", _("revoked")


_LIVE = frozenset({NodeStatus.ONLINE, NodeStatus.DEGRADED, NodeStatus.DRAINING, NodeStatus.SELF_TEST})
_ENDS = frozenset({NodeStatus.SUSPENDED, NodeStatus.REVOKED})
NODE_TRANSITIONS: dict[NodeStatus, frozenset[NodeStatus]] = {
    NodeStatus.PENDING: frozenset({NodeStatus.SELF_TEST, NodeStatus.OFFLINE}) | _ENDS,
    NodeStatus.SELF_TEST: frozenset({NodeStatus.ONLINE, NodeStatus.DEGRADED, NodeStatus.OFFLINE}) | _ENDS,
    NodeStatus.ONLINE: frozenset({NodeStatus.DEGRADED, NodeStatus.DRAINING, NodeStatus.OFFLINE, NodeStatus.SELF_TEST})
    | _ENDS,
    NodeStatus.DEGRADED: frozenset({NodeStatus.ONLINE, NodeStatus.DRAINING, NodeStatus.OFFLINE, NodeStatus.SELF_TEST})
    | _ENDS,
    NodeStatus.DRAINING: frozenset({NodeStatus.ONLINE, NodeStatus.DEGRADED, NodeStatus.OFFLINE, NodeStatus.SELF_TEST})
    | _ENDS,
    NodeStatus.OFFLINE: _LIVE | _ENDS,
    NodeStatus.SUSPENDED: frozenset({NodeStatus.OFFLINE, NodeStatus.REVOKED}),
    NodeStatus.REVOKED: frozenset(),
}


class NodeQuerySet(models.QuerySet["Node"]):
    """Nodes by who may see their insides and whether they work."""

    def visible_to(self, user: Any) -> "NodeQuerySet":
        """An operator's own; all for staff; none for visitors."""
        if not getattr(user, "is_authenticated", False):
            return self.none()
        return self if user.is_staff else self.filter(operator__user=user)

    def online(self) -> "NodeQuerySet":
        return self.filter(status=NodeStatus.ONLINE)

    def living(self) -> "NodeQuerySet":
        """Nodes that are expected to send heartbeats."""
        return self.filter(status__in=_LIVE)

    def not_revoked(self) -> "NodeQuerySet":
        return self.exclude(status=NodeStatus.REVOKED)


class Node(models.Model):
    """A machine of an operator. Every state but online carries a reason and a next step."""

    class Transport(models.TextChoices):
        CELERY = "celery", _("broker")
        SOCKET = "socket", _("socket")
        HTTP = "http", _("long poll")

    id = models.CharField(primary_key=True, max_length=40)
    operator = models.ForeignKey(Operator, on_delete=models.PROTECT, related_name="nodes")
    name = models.CharField(max_length=40)
    status = models.CharField(max_length=12, choices=NodeStatus, default=NodeStatus.PENDING)
    reason = models.TextField(blank=True)
    next_step = models.TextField(blank=True)
    status_at = models.DateTimeField()
    sign_public = models.CharField(max_length=64, unique=True)
    seal_public = models.CharField(max_length=64)
    kid = models.CharField(max_length=16, unique=True)
    probe = models.JSONField(default=dict)
    lanes = models.JSONField(default=dict)
    transport = models.CharField(max_length=8, choices=Transport, default=Transport.CELERY)
    broker_sha256 = models.CharField(max_length=64, blank=True)
    served_models = models.JSONField(default=list)
    running = models.JSONField(default=list)
    free_slots = models.JSONField(default=dict)
    load = models.IntegerField(default=0)
    memory_free_mb = models.PositiveIntegerField(default=0)
    sent_at_ms = models.BigIntegerField(default=0)
    clock_offset_ms = models.BigIntegerField(default=0)
    connected = models.BooleanField(default=False)
    disconnected_at = models.DateTimeField(null=True)
    last_seen_at = models.DateTimeField(null=True)
    self_test_passed_at = models.DateTimeField(null=True)
    reputation = models.IntegerField(default=50)
    consecutive_valid = models.IntegerField(default=0)
    enrolled_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    objects = NodeQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["operator", "name"], condition=~Q(status="revoked"), name="operators_node_name_once"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["online", "pending", "self_test"]) | ~Q(reason=""),
                name="operators_node_state_has_reason",
            ),
        ]
        indexes = [models.Index(fields=["status", "last_seen_at"], name="operators_node_seen")]

    def __str__(self) -> str:
        return self.name

    @property
    def gflops(self) -> int:
        """What the probe measured, float32."""
        return int(self.probe.get("gflops", 0))

    @transaction.atomic
    def move(self, to: NodeStatus, reason: str, next_step: str, now: datetime, **changes: Any) -> bool:
        """Go to a state from the one this row was read in, with a line of history and an event.

        False where it was moved meanwhile. Raises NodeMoveRefused for a move that the table does not have.
        """
        old = NodeStatus(self.status)
        if to not in NODE_TRANSITIONS[old]:
            raise NodeMoveRefused(f"A node that is {old.label} cannot become {NodeStatus(to).label}.")
        values = {"status": to, "reason": reason, "next_step": next_step, "status_at": now, **changes}
        if Node.objects.filter(pk=self.pk, status=old).update(**values) != 1:
            return False
        for name, value in values.items():
            setattr(self, name, value)
        NodeEvent.objects.create(node=self, at=now, old=old, new=to, reason=reason)
        topics = ["network", f"node.{self.pk}", f"user.{self.operator.user_id}"]
        data = {"name": self.name, "status": str(to), "reason": reason}
        events.emit(node_event_kind(old, NodeStatus(to)), subject=self.pk, topics=topics, data=data, now=now)
        return True


def node_event_kind(old: NodeStatus, new: NodeStatus) -> str:
    """The event's kind: joined and left are what the network counts."""
    if new == NodeStatus.ONLINE and old != NodeStatus.DRAINING:
        return "node.joined"
    return "node.left" if new in {NodeStatus.OFFLINE, NodeStatus.REVOKED, NodeStatus.SUSPENDED} else "node.changed"


class NodeEvent(models.Model):
    """One line of a node's own history."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    old = models.CharField(max_length=12, choices=NodeStatus, blank=True)
    new = models.CharField(max_length=12, choices=NodeStatus)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["node", "-id"], name="operators_node_event")]

    def __str__(self) -> str:
        return f"{self.node_id}: {self.old or '·'} → {self.new}"


class EnrolmentToken(models.Model):
    """A one-use token; only its hash is kept."""

    id = models.CharField(primary_key=True, max_length=40)
    operator = models.ForeignKey(Operator, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=40)
    hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    node = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.operator_id}: {self.name}"

    def is_open(self, now: datetime) -> bool:
        """Whether it can still enrol a node."""
        return self.used_at is None and self.expires_at > now


class Scope(models.TextChoices):
    JOBS_READ = "jobs:read", _("read jobs and results")
    JOBS_WRITE = "jobs:write", _("submit and cancel jobs")


class ApiKey(models.Model):
    """A key for programs; shown once, stored as a hash."""

    id = models.CharField(primary_key=True, max_length=40)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    hash = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.prefix}… {self.name}"

    def allows(self, scopes: Collection[str]) -> bool:
        """Whether the key has all of these scopes."""
        return set(scopes) <= set(self.scopes)


class Wallet(models.Model):
    """An Ed25519 key that an account proved to hold. Its address is the SHA-256 of the public key."""

    id = models.CharField(primary_key=True, max_length=40)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="wallets")
    address = models.CharField(max_length=64, unique=True)
    public = models.CharField(max_length=64)
    label = models.CharField(max_length=80, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return self.address[:16]


class NotificationQuerySet(models.QuerySet["Notification"]):
    """Messages by whether they still have to go out."""

    def due(self, now: datetime) -> "NotificationQuerySet":
        """Unsent, not tried a moment ago, not given up."""
        rested = Q(tried_at=None) | Q(tried_at__lt=now - Notification.REST)
        return self.filter(rested, sent_at=None, attempts__lt=Notification.MOST_ATTEMPTS)


class Notification(models.Model):
    """A message to a person, written with the change that it tells of and sent after it."""

    REST = timedelta(minutes=2)
    MOST_ATTEMPTS = 10

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=200)
    body = models.TextField()
    created_at = models.DateTimeField()
    tried_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["tried_at"], name="operators_unsent", condition=Q(sent_at=None))]

    def __str__(self) -> str:
        return f"{self.kind} to {self.user_id}"
