"""The paper exchange's own books, kept apart from ours so that both can be compared, and what comparing found."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from apps.trading.models.orders import DIGITS, PLACES, Side


class VenueAccount(models.Model):
    """What the venue holds for us of one currency. `deposited` is what was paid in: the capital, in USD only."""

    venue = models.CharField(max_length=40)
    currency = models.CharField(max_length=10)
    total = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES, default=0)
    deposited = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES, default=0)

    class Meta:
        ordering = ["venue", "currency"]
        constraints = [
            models.UniqueConstraint(fields=["venue", "currency"], name="trading_venue_account_once"),
            models.CheckConstraint(condition=Q(total__gte=0), name="trading_venue_lends_nothing"),
        ]

    def __str__(self) -> str:
        return f"{self.venue} {self.total} {self.currency}"


class VenueOrder(models.Model):
    """One order as the venue has it. A client id is accepted once, whatever happens to the answer."""

    class Status(models.TextChoices):
        CLOSED = "closed", _("filled")
        CANCELED = "canceled", _("rest cancelled")
        REJECTED = "rejected", _("rejected")

    venue = models.CharField(max_length=40)
    client_id = models.CharField(max_length=64)
    pair = models.CharField(max_length=20)
    side = models.CharField(max_length=4, choices=Side)
    time_in_force = models.CharField(max_length=3)
    quantity = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    limit_price = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    status = models.CharField(max_length=8, choices=Status)
    filled = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES, default=0)
    reason = models.CharField(max_length=300, blank=True)
    bar_opened_at = models.DateTimeField(null=True)
    market_at = models.DateTimeField()
    arrived_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["venue", "client_id"], name="trading_venue_order_once"),
            models.CheckConstraint(
                condition=Q(filled__gte=0, filled__lte=F("quantity")), name="trading_venue_order_not_overfilled"
            ),
        ]
        indexes = [models.Index(fields=["venue", "pair", "bar_opened_at"], name="trading_venue_order_of_bar")]

    def __str__(self) -> str:
        return self.client_id


class VenueFill(models.Model):
    """One execution at the venue; never updated."""

    order = models.ForeignKey(VenueOrder, on_delete=models.PROTECT, related_name="fills")
    quantity = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    price = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    fee_usd = models.DecimalField(max_digits=DIGITS, decimal_places=PLACES)
    market_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.quantity} at {self.price}"


class VenueFault(models.Model):
    """A fault that the paper exchange is told to show, to try what follows from it. `left` more calls meet it."""

    class Kind(models.TextChoices):
        TIMEOUT = "timeout", _("takes the order, then times out")
        LOST = "lost", _("times out and never sees the order")
        REJECT = "reject", _("rejects the order")
        HALF = "half", _("fills half of the order")
        AWAY = "away", _("cannot be reached")

    venue = models.CharField(max_length=40)
    kind = models.CharField(max_length=8, choices=Kind)
    left = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.left}"


class Reconciliation(models.Model):
    """One comparison of our books with the venue's; never updated. `findings`: what differs, in words."""

    venue = models.CharField(max_length=40)
    ok = models.BooleanField()
    findings = models.JSONField(default=list)
    orders = models.IntegerField(default=0)
    market_at = models.DateTimeField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.venue} {'agrees' if self.ok else 'differs'}"
