"""Execution plans, their orders and fills, and the positions that they make. Amounts are decimal: USD and base coin."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class Side(models.TextChoices):
    BUY = "BUY", _("buy")
    SELL = "SELL", _("sell")


class Purpose(models.TextChoices):
    ENTRY = "ENTRY", _("entry")
    EXIT = "EXIT", _("exit")


class PlanStatus(models.TextChoices):
    PENDING = "PENDING", _("pending")
    RUNNING = "RUNNING", _("running")
    PAUSED = "PAUSED", _("paused")
    DONE = "DONE", _("done")
    CANCELLED = "CANCELLED", _("cancelled")
    FAILED = "FAILED", _("failed")


class OrderStatus(models.TextChoices):
    """PREPARED is stored before it is sent; UNKNOWN was sent and the venue has to be asked by its id."""

    PREPARED = "PREPARED", _("prepared")
    UNKNOWN = "UNKNOWN", _("unknown")
    OPEN = "OPEN", _("open")
    FILLED = "FILLED", _("filled")
    PARTIAL = "PARTIAL", _("partly filled")
    CANCELLED = "CANCELLED", _("cancelled")
    REJECTED = "REJECTED", _("rejected")


DIGITS = 28
PLACES = 12


class Position(models.Model):
    """What is held of one base coin, from its entry to its exit."""

    id = models.CharField(primary_key=True, max_length=40)
    pair = models.CharField(max_length=20)
    signal = models.ForeignKey("trading.Signal", null=True, on_delete=models.PROTECT, related_name="positions")
    quantity = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    cost_usd = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    fees_usd = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES, default=0)
    proceeds_usd = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES, default=0)
    entry_price = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    take_profit = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    stop_loss = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    exit_reason = models.CharField(max_length=40, blank=True)
    realised_pnl = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES, null=True)

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.CheckConstraint(condition=Q(quantity__gte=0), name="trading_position_never_short"),
            models.CheckConstraint(
                condition=Q(closed_at=None) | Q(quantity=0, realised_pnl__isnull=False),
                name="trading_position_closed_is_empty",
            ),
        ]
        indexes = [models.Index(fields=["pair"], name="trading_position_open", condition=Q(closed_at=None))]

    def __str__(self) -> str:
        return self.id


class Plan(models.Model):
    """One decision to trade, carried out in slices. Due times are market time."""

    id = models.CharField(primary_key=True, max_length=40)
    purpose = models.CharField(max_length=5, choices=Purpose)
    signal = models.ForeignKey("trading.Signal", null=True, on_delete=models.PROTECT, related_name="plans")
    round = models.ForeignKey("trading.Round", null=True, on_delete=models.PROTECT, related_name="plans")
    position = models.ForeignKey(Position, null=True, on_delete=models.PROTECT, related_name="plans")
    pair = models.CharField(max_length=20)
    side = models.CharField(max_length=4, choices=Side)
    algorithm = models.CharField(max_length=8, default="TWAP")
    quantity = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    limit_price = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    slices = models.IntegerField(default=1)
    interval_s = models.IntegerField(default=60)
    status = models.CharField(max_length=9, choices=PlanStatus, default=PlanStatus.PENDING)
    filled_quantity = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES, default=0)
    filled_usd = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES, default=0)
    fees_usd = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES, default=0)
    reason = models.CharField(max_length=300, blank=True)
    next_step = models.CharField(max_length=300, blank=True)
    starts_at = models.DateTimeField()
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(filled_quantity__gte=0, filled_quantity__lte=F("quantity")),
                name="trading_plan_not_overfilled",
            ),
            models.UniqueConstraint(
                fields=["round"], condition=Q(purpose=Purpose.ENTRY), name="trading_one_entry_per_round"
            ),
            models.UniqueConstraint(
                fields=["position"],
                condition=Q(purpose=Purpose.EXIT, status__in=["PENDING", "RUNNING", "PAUSED"]),
                name="trading_one_open_exit_per_position",
            ),
        ]

    def __str__(self) -> str:
        return self.id


class Order(models.Model):
    """One slice's order. Its id, the client's, is a hash of (signal, leg, slice) and is stored before it is sent."""

    id = models.CharField(primary_key=True, max_length=64)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="orders")
    slice = models.IntegerField()
    side = models.CharField(max_length=4, choices=Side)
    quantity = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    limit_price = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    status = models.CharField(max_length=9, choices=OrderStatus, default=OrderStatus.PREPARED)
    venue = models.CharField(max_length=40, default="paper")
    venue_order_id = models.CharField(max_length=80, blank=True)
    filled_quantity = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES, default=0)
    filled_usd = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES, default=0)
    fee_usd = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES, default=0)
    reason = models.CharField(max_length=300, blank=True)
    market_at = models.DateTimeField()
    prepared_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["plan_id", "slice", "prepared_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(filled_quantity__gte=0, filled_quantity__lte=F("quantity")),
                name="trading_order_not_overfilled",
            )
        ]

    def __str__(self) -> str:
        return self.id


class Fill(models.Model):
    """One execution at the venue; never updated."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="fills")
    venue_fill_id = models.CharField(max_length=80, unique=True)
    quantity = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    price = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    fee_usd = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    market_at = models.DateTimeField()

    class Meta:
        ordering = ["market_at", "id"]

    def __str__(self) -> str:
        return self.venue_fill_id
