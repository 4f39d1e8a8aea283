"""Market data and the clock it runs by."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class Source(models.TextChoices):
    """Where a measurement comes from; shown wherever it is."""

    LIVE = "live", _("live")
    REPLAY = "replay", _("replay of a recording")
    API = "api", _("reported over the API")


class Candle(models.Model):
    """One bar of one pair on one venue, as the source gave it; a bad row is never here, it is a fault."""

    source = models.CharField(max_length=6, choices=Source)
    venue = models.CharField(max_length=40)
    pair = models.CharField(max_length=20)
    interval_s = models.IntegerField(default=60)
    opened_at = models.DateTimeField()
    open = models.FloatField()
    high = models.FloatField()
    low = models.FloatField()
    close = models.FloatField()
    volume = models.FloatField()

    class Meta:
        ordering = ["opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "venue", "pair", "interval_s", "opened_at"], name="trading_candle_once"
            ),
            models.CheckConstraint(
                condition=Q(low__gt=0)
                & Q(low__lte=F("open"))
                & Q(low__lte=F("close"))
                & Q(high__gte=F("open"))
                & Q(high__gte=F("close"))
                & Q(volume__gte=0),
                name="trading_candle_sound",
            ),
        ]
        indexes = [models.Index(fields=["pair", "interval_s", "-opened_at"], name="trading_candle_recent")]

    def __str__(self) -> str:
        return f"{self.pair} {self.opened_at:%Y-%m-%d %H:%M}"


class CandleFault(models.Model):
    """A gap or a bad row of market data: shown, never filled."""

    class Fault(models.TextChoices):
        GAP = "gap", _("gap")
        DUPLICATE = "duplicate", _("duplicate")
        OUT_OF_ORDER = "out_of_order", _("out of order")
        BAD_ROW = "bad_row", _("bad row")

    source = models.CharField(max_length=6, choices=Source)
    venue = models.CharField(max_length=40)
    pair = models.CharField(max_length=20)
    fault = models.CharField(max_length=12, choices=Fault)
    opened_at = models.DateTimeField(null=True)
    bars = models.IntegerField(default=1)
    detail = models.CharField(max_length=300)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.pair} {self.fault}"


class MarketClock(models.Model):
    """What time the market has. Live it is the wall's; in a replay it moves through the recordings. One row."""

    source = models.CharField(max_length=6, choices=Source, default=Source.LIVE)
    market_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    label = models.CharField(max_length=300, blank=True)
    moved_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="trading_one_market_clock")]

    def __str__(self) -> str:
        return f"{self.source} {self.market_at}"
