"""What risk reads of the market: the last price, the lowest since a moment, and returns; complete bars only."""

import itertools
import math
import statistics
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Min, QuerySet

from apps.trading.market_time import clock
from apps.trading.models import Candle

BAR = timedelta(seconds=60)
RETURNS = 120
FEWEST_RETURNS = 30
MINUTES_A_DAY = 1440


@dataclass(frozen=True)
class Price:
    """A close in USD and the moment at which its bar was complete."""

    usd: Decimal
    at: datetime


def _complete(pair: str, now: datetime) -> QuerySet[Candle]:
    """Bars of one minute, of the source that the market's clock goes by, that were complete at `now`."""
    return Candle.objects.filter(source=clock().source, pair=pair, interval_s=60, opened_at__lte=now - BAR)


def last_price(pair: str, now: datetime) -> Price | None:
    """The close of the last complete bar, whatever its age."""
    found = _complete(pair, now).order_by("-opened_at").values_list("close", "opened_at").first()
    return Price(Decimal(repr(found[0])), found[1] + BAR) if found else None


def lowest_since(pair: str, since: datetime, now: datetime) -> Decimal | None:
    """The lowest price of the complete bars that opened at `since` or later."""
    low = _complete(pair, now).filter(opened_at__gte=since).aggregate(low=Min("low"))["low"]
    return None if low is None else Decimal(repr(low))


def returns(pair: str, now: datetime) -> dict[datetime, float]:
    """Logarithmic returns between neighbouring bars of the last two hours, by the opening of the later one."""
    bars = list(_complete(pair, now).filter(opened_at__gt=now - (RETURNS + 2) * BAR).values_list("opened_at", "close"))
    return {
        after[0]: math.log(after[1] / before[1])
        for before, after in itertools.pairwise(bars)
        if after[0] - before[0] == BAR
    }


def volatility_bp(found: dict[datetime, float]) -> int | None:
    """Standard deviation of a day's return in basis points, or None where there are too few bars to say."""
    if len(found) < FEWEST_RETURNS:
        return None
    return round(statistics.stdev(found.values()) * math.sqrt(MINUTES_A_DAY) * 10_000)


def correlation_bp(one: dict[datetime, float], other: dict[datetime, float]) -> int | None:
    """Pearson's correlation of common returns in basis points; None where they are too few or flat."""
    common = sorted(one.keys() & other.keys())
    if len(common) < FEWEST_RETURNS:
        return None
    a, b = [one[at] for at in common], [other[at] for at in common]
    if len(set(a)) == 1 or len(set(b)) == 1:
        return None
    return round(statistics.correlation(a, b) * 10_000)
