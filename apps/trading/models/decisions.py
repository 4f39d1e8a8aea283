"""What risk decided, and the state that trading is in."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Verdict(models.TextChoices):
    ALLOW = "ALLOW", _("allowed")
    REFUSE = "REFUSE", _("refused")


class Decision(models.Model):
    """One decision, above all one not to trade: the rule that decided, its inputs and thresholds. Never updated.

    `stage`: "signal" before consensus, "order" before every order, "exit" for a close.
    """

    id = models.CharField(primary_key=True, max_length=40)
    stage = models.CharField(max_length=6)
    verdict = models.CharField(max_length=6, choices=Verdict)
    rule = models.CharField(max_length=40)
    reason = models.CharField(max_length=300)
    profile = models.CharField(max_length=20)
    pair = models.CharField(max_length=20)
    signal = models.ForeignKey("trading.Signal", null=True, on_delete=models.PROTECT, related_name="decisions")
    plan = models.ForeignKey("trading.Plan", null=True, on_delete=models.PROTECT, related_name="decisions")
    position = models.ForeignKey("trading.Position", null=True, on_delete=models.PROTECT, related_name="decisions")
    size_usd = models.DecimalField(max_digits=20, decimal_places=8, null=True)
    inputs = models.JSONField(default=dict)
    thresholds = models.JSONField(default=dict)
    checks = models.JSONField(default=list)
    inputs_sha256 = models.CharField(max_length=64)
    features_sha256 = models.CharField(max_length=64, blank=True)
    model_sha256 = models.CharField(max_length=64, blank=True)
    market_at = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["signal"], condition=Q(stage="signal"), name="trading_signal_decided_once"),
        ]
        indexes = [
            models.Index(fields=["rule", "-created_at"], name="trading_decision_by_rule"),
            models.Index(fields=["-market_at"], name="trading_decision_recent"),
            models.Index(fields=["-created_at", "-id"], name="trading_decision_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} {self.rule}"


class State(models.TextChoices):
    """ACTIVE: entries and exits. REDUCING: exits only. HALTED: exits only, until a person resumes."""

    ACTIVE = "ACTIVE", _("active")
    REDUCING = "REDUCING", _("reducing")
    HALTED = "HALTED", _("halted")


class TradingState(models.Model):
    """The state of trading. One row. `until` is market time: a daily halt ends by itself.

    `measured_from` is market time too: drawdown and accuracy count from when a person last resumed.
    """

    state = models.CharField(max_length=8, choices=State, default=State.ACTIVE)
    rule = models.CharField(max_length=40, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    next_step = models.CharField(max_length=300, blank=True)
    flattening = models.BooleanField(default=False)
    until = models.DateTimeField(null=True)
    measured_from = models.DateTimeField(null=True)
    changed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(pk=1), name="trading_one_state"),
            models.CheckConstraint(condition=Q(state=State.ACTIVE) | ~Q(reason=""), name="trading_state_with_reason"),
        ]

    def __str__(self) -> str:
        return self.state


class StateChange(models.Model):
    """One change of the state of trading; never updated."""

    old = models.CharField(max_length=8, choices=State)
    new = models.CharField(max_length=8, choices=State)
    rule = models.CharField(max_length=40, blank=True)
    reason = models.CharField(max_length=300)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    market_at = models.DateTimeField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.old} → {self.new}"


class EquityMark(models.Model):
    """What trading was worth at one market time: capital, results, open positions at the last price. Never updated."""

    market_at = models.DateTimeField(unique=True)
    equity_usd = models.DecimalField(max_digits=28, decimal_places=12)
    pnl_usd = models.DecimalField(max_digits=28, decimal_places=12)
    exposure_usd = models.DecimalField(max_digits=28, decimal_places=12)

    class Meta:
        ordering = ["-market_at"]

    def __str__(self) -> str:
        return f"{self.market_at:%Y-%m-%d %H:%M} {self.equity_usd}"
