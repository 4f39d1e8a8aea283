"""What the detectors and models said, and what came of it."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.trading.models.markets import Source


class SignalKind(models.TextChoices):
    LATENCY_ANOMALY = "latency_anomaly", _("latency anomaly")
    TREND_SHIFT = "trend_shift", _("trend shift")
    ROUTE_CHANGE = "route_change", _("route change")
    COMPOSITE = "composite", _("composite")


class Direction(models.TextChoices):
    LONG = "LONG", _("long")
    SHORT = "SHORT", _("short")


class SignalStatus(models.TextChoices):
    """ACTIVE until it is taken once: acted on, passed over with the reason, or expired."""

    ACTIVE = "ACTIVE", _("active")
    ACTED = "ACTED", _("acted on")
    PASSED = "PASSED", _("passed over")
    EXPIRED = "EXPIRED", _("expired")


class Signal(models.Model):
    """One signal. `market_at` and `expires_at` are market time, `created_at` is the wall's."""

    id = models.CharField(primary_key=True, max_length=40)
    digest = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=16, choices=SignalKind)
    target = models.ForeignKey("trading.ScanTarget", null=True, on_delete=models.PROTECT, related_name="signals")
    vantage = models.CharField(max_length=80, blank=True)
    pair = models.CharField(max_length=20)
    direction = models.CharField(max_length=5, choices=Direction)
    confidence = models.FloatField()
    strength = models.FloatField(default=0)
    details = models.JSONField(default=dict)
    framework = models.CharField(max_length=40, default="numba")
    source = models.CharField(max_length=6, choices=Source)
    node = models.ForeignKey("operators.Node", null=True, on_delete=models.PROTECT, related_name="signals")
    status = models.CharField(max_length=7, choices=SignalStatus, default=SignalStatus.ACTIVE)
    reason = models.CharField(max_length=300, blank=True)
    market_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    taken_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-market_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(confidence__gte=0, confidence__lte=1), name="trading_signal_confidence"),
            models.CheckConstraint(
                condition=Q(status=SignalStatus.ACTIVE) | ~Q(reason=""), name="trading_signal_taken_with_reason"
            ),
        ]
        indexes = [
            models.Index(fields=["pair", "-market_at"], name="trading_signal_of_pair"),
            models.Index(fields=["-market_at", "-id"], name="trading_signal_recent"),
            models.Index(fields=["expires_at"], name="trading_signal_active", condition=Q(status=SignalStatus.ACTIVE)),
        ]

    def __str__(self) -> str:
        return self.id


class Outcome(models.Model):
    """Whether a signal was right, judged by the market a fixed time later. `pnl` is a fraction of the entry price."""

    signal = models.OneToOneField(Signal, on_delete=models.CASCADE, related_name="outcome")
    entry_price = models.FloatField()
    exit_price = models.FloatField()
    pnl = models.FloatField()
    pnl_after_fees = models.FloatField()
    correct = models.BooleanField()
    judged_at = models.DateTimeField()

    class Meta:
        ordering = ["-judged_at"]

    def __str__(self) -> str:
        return f"{self.signal_id}: {self.pnl:+.4%}"


class Prediction(models.Model):
    """One MLPrediction: what a model said to an oracle in a round."""

    id = models.CharField(primary_key=True, max_length=40)
    round = models.ForeignKey("trading.Round", null=True, on_delete=models.CASCADE, related_name="predictions")
    node = models.ForeignKey("operators.Node", null=True, on_delete=models.PROTECT, related_name="+")
    symbol = models.CharField(max_length=20)
    action = models.CharField(max_length=4)
    confidence = models.FloatField()
    price = models.FloatField()
    target_price = models.FloatField(null=True)
    stop_loss = models.FloatField(null=True)
    horizon_s = models.IntegerField()
    features_sha256 = models.CharField(max_length=64)
    model = models.CharField(max_length=120)
    version = models.CharField(max_length=40)
    reasoning = models.CharField(max_length=500)
    market_at = models.DateTimeField()

    class Meta:
        ordering = ["-market_at"]

    def __str__(self) -> str:
        return f"{self.symbol} {self.action}"
