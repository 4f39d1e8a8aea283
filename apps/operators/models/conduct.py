"""How nodes and people behave: reputation's history, bans, and appeals against them."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from apps.operators.models.nodes import Node


class ReputationKind(models.TextChoices):
    SUCCESS = "success", _("a result was accepted")
    FAILED = "failed", _("an attempt failed")
    ABANDONED = "abandoned", _("work was abandoned")
    UPTIME = "uptime", _("an hour online")
    SHARD_HOSTED = "shard_hosted", _("an hour of a hosted shard")
    SHARD_DROPPED = "shard_dropped", _("a hosted shard was dropped")
    VOTE = "vote", _("a vote for what was agreed")
    VIOLATION = "violation", _("a rule was broken")
    DECAY = "decay", _("daily decay")
    REINSTATED = "reinstated", _("let back by an admin")


class ReputationChange(models.Model):
    """One change of a node's score, in hundredths of a point. Work that could not raise a full score leaves none."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="reputation_changes", db_index=False)
    at = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=ReputationKind)
    change = models.IntegerField()
    score = models.IntegerField()
    detail = models.CharField(max_length=200, blank=True)
    key = models.CharField(max_length=80, null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["node", "key"], name="operators_reputation_once"),
            models.CheckConstraint(condition=Q(score__gte=0, score__lte=10_000), name="operators_reputation_range"),
        ]
        indexes = [models.Index(fields=["node", "-id"], name="operators_reputation_node")]

    def __str__(self) -> str:
        return f"{self.node_id} {self.kind} {self.change / 100:+g}"

    @property
    def points(self) -> str:
        """The change as people read it, such as +2 or -0.48."""
        return f"{self.change / 100:+g}"

    @property
    def after(self) -> str:
        """The score after it."""
        return f"{self.score / 100:g}"


class BanKind(models.TextChoices):
    ACCOUNT = "account", _("account")
    NODE = "node", _("node")
    ADDRESS = "address", _("wallet or Ethereum address")


class BanQuerySet(models.QuerySet["Ban"]):
    """Bans by whether they hold."""

    def standing(self, now: datetime) -> "BanQuerySet":
        """Neither lifted nor over."""
        return self.filter(Q(ends_at=None) | Q(ends_at__gt=now), lifted_at=None)

    def over(self, now: datetime) -> "BanQuerySet":
        """Those whose time is up and that nobody has lifted."""
        return self.filter(lifted_at=None, ends_at__lte=now)

    def with_people(self) -> "BanQuerySet":
        """Rows with all that lists print of them."""
        return self.select_related("user", "node__operator__user", "made_by", "lifted_by")


class Ban(models.Model):
    """An account, a node or an address is kept out, for a reason, on evidence, for a time or until it is lifted."""

    id = models.CharField(primary_key=True, max_length=40)
    kind = models.CharField(max_length=8, choices=BanKind)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="bans", verbose_name=_("account")
    )
    node = models.ForeignKey(Node, null=True, on_delete=models.PROTECT, related_name="bans")
    address = models.CharField(max_length=80, blank=True)
    reason = models.CharField(max_length=500)
    evidence = models.TextField()
    at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    lift_reason = models.CharField(max_length=500, blank=True)

    objects = BanQuerySet.as_manager()

    class Meta:
        ordering = ["-at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="account", user__isnull=False, node=None, address="")
                | Q(kind="node", user=None, node__isnull=False, address="")
                | (Q(kind="address", user=None, node=None) & ~Q(address="")),
                name="operators_ban_of_one_thing",
            ),
            models.CheckConstraint(condition=~Q(reason="") & ~Q(evidence=""), name="operators_ban_with_reason"),
            models.CheckConstraint(condition=Q(ends_at=None) | Q(ends_at__gt=F("at")), name="operators_ban_ends_later"),
            models.CheckConstraint(
                condition=Q(lifted_at=None) | ~Q(lift_reason=""), name="operators_ban_lifted_with_reason"
            ),
            models.UniqueConstraint(fields=["user"], condition=Q(lifted_at=None), name="operators_ban_account_once"),
            models.UniqueConstraint(fields=["node"], condition=Q(lifted_at=None), name="operators_ban_node_once"),
            models.UniqueConstraint(
                fields=["address"],
                condition=Q(lifted_at=None) & ~Q(address=""),
                name="operators_ban_address_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.subject}"

    @property
    def subject(self) -> str:
        """What is banned, as people name it."""
        return self.address or str(self.node or self.user)

    def stands(self, now: datetime) -> bool:
        """Neither lifted nor over."""
        return self.lifted_at is None and (self.ends_at is None or self.ends_at > now)

    @property
    def node_reason(self) -> str:
        """What stands at the nodes that it keeps out; the id tells whose suspension it is."""
        return f"Banned ({self.pk}): {self.reason}"


class AppealQuerySet(models.QuerySet["Appeal"]):
    """Appeals by whether they wait."""

    def open(self) -> "AppealQuerySet":
        return self.filter(answered_at=None)


class Appeal(models.Model):
    """What somebody banned says against it, and what staff answer."""

    id = models.CharField(primary_key=True, max_length=40)
    ban = models.ForeignKey(Ban, on_delete=models.CASCADE, related_name="appeals")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="appeals")
    text = models.TextField()
    at = models.DateTimeField()
    granted = models.BooleanField(null=True)
    answer = models.TextField(blank=True)
    answered_at = models.DateTimeField(null=True)
    answered_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    objects = AppealQuerySet.as_manager()

    class Meta:
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(fields=["ban"], condition=Q(answered_at=None), name="operators_appeal_one_open"),
            models.CheckConstraint(
                condition=Q(answered_at=None, granted=None)
                | (Q(answered_at__isnull=False, granted__isnull=False) & ~Q(answer="")),
                name="operators_appeal_answered_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.ban_id} by {self.by_id}"
