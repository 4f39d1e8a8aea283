"""Consensus rounds among the oracles, as the platform relayed them."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class RoundStatus(models.TextChoices):
    OPEN = "OPEN", _("open")
    CERTIFIED = "CERTIFIED", _("certified")
    FAILED = "FAILED", _("failed")


class Round(models.Model):
    """One round. Times are the wall's. `members`: [{owner, node, kid, public, weight}, …], frozen for the round.

    `subject` is what the oracles are asked about; `outcome` and `certificate` are what more than 2/3 of them signed.
    """

    id = models.CharField(primary_key=True, max_length=40)
    signal = models.OneToOneField("trading.Signal", null=True, on_delete=models.PROTECT, related_name="round")
    status = models.CharField(max_length=9, choices=RoundStatus, default=RoundStatus.OPEN)
    subject = models.JSONField()
    members = models.JSONField()
    weights_sha256 = models.CharField(max_length=64)
    block_height = models.BigIntegerField(null=True)
    block_hash = models.CharField(max_length=64, blank=True)
    start = models.JSONField(null=True)
    view = models.IntegerField(default=0)
    outcome = models.JSONField(null=True)
    certificate = models.JSONField(null=True)
    reason = models.CharField(max_length=300, blank=True)
    next_step = models.CharField(max_length=300, blank=True)
    started_at = models.DateTimeField()
    deadline_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status=RoundStatus.CERTIFIED) | Q(certificate__isnull=False, outcome__isnull=False),
                name="trading_round_certified_with_certificate",
            ),
            models.CheckConstraint(
                condition=~Q(status=RoundStatus.FAILED) | ~Q(reason=""), name="trading_round_failed_with_reason"
            ),
        ]
        indexes = [
            models.Index(fields=["deadline_at"], name="trading_round_open", condition=Q(status=RoundStatus.OPEN))
        ]

    def __str__(self) -> str:
        return self.id


class RoundMessage(models.Model):
    """One signed message of an oracle, kept as it came."""

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="messages")
    signer = models.CharField(max_length=80)
    node = models.ForeignKey("operators.Node", null=True, on_delete=models.PROTECT, related_name="+")
    step = models.CharField(max_length=12)
    view = models.IntegerField(default=0)
    digest = models.CharField(max_length=64)
    envelope = models.JSONField()
    received_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["round", "digest"], name="trading_round_message_once")]

    def __str__(self) -> str:
        return f"{self.signer} {self.step}"
