"""Nodes, their states and histories, and the tokens that enrol them."""

from datetime import datetime
from typing import Any

from django.db import models, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.core import events
from apps.operators.errors import NodeMoveRefused
from apps.operators.models.people import Operator


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
    NodeStatus.SELF_TEST: frozenset({NodeStatus.ONLINE, NodeStatus.DEGRADED, NodeStatus.DRAINING, NodeStatus.OFFLINE})
    | _ENDS,
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
        return self if user.acts_as_staff else self.filter(operator__user=user)

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
    reputation_rest = models.SmallIntegerField(default=0, help_text=_("Hundredths of a point beyond the score."))
    offline_mailed_at = models.DateTimeField(null=True)
    consecutive_valid = models.IntegerField(default=0)
    # What the owner has set on the node's page, and what the node says that its own settings are.
    limits = models.JSONField(default=dict)
    limits_reported = models.JSONField(default=dict)
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
            models.CheckConstraint(
                condition=Q(reputation__gte=0, reputation__lt=100, reputation_rest__gte=0, reputation_rest__lt=100)
                | Q(reputation=100, reputation_rest=0),
                name="operators_node_reputation_range",
            ),
        ]
        indexes = [models.Index(fields=["status", "last_seen_at"], name="operators_node_seen")]

    def __str__(self) -> str:
        return self.name

    @property
    def gflops(self) -> int:
        """What the probe measured, float32."""
        return int(self.probe.get("gflops", 0))

    @property
    def memory_mb(self) -> int:
        """MiB that tasks may have here: what the probe found, or less where the owner caps it."""
        caps = (self.limits.get("memory_cap_mb"), self.limits_reported.get("memory_cap_mb"))
        return min([int(self.probe.get("memory_mb", 0)), *(int(cap) for cap in caps if cap)])

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


class RetiredKey(models.Model):
    """A signing key that a node had before; it is refused, and nobody may announce it again."""

    kid = models.CharField(max_length=16, unique=True)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="retired_keys")
    sign_public = models.CharField(max_length=64, unique=True)
    retired_at = models.DateTimeField()

    class Meta:
        ordering = ["-retired_at"]

    def __str__(self) -> str:
        return f"{self.node_id}: {self.kid}"


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
