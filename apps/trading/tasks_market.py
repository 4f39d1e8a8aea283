"""What the `market` queue does for markets and orders. In a replay the recordings move the market, and nothing here."""

import logging
from datetime import datetime, timedelta

from celery import shared_task
from django.db.models import Max

from apps.core import parameters
from apps.trading import candles, positions
from apps.trading.errors import CandleRefused
from apps.trading.market_time import clock, market_now
from apps.trading.models import Candle, Source
from apps.trading.risk import limits
from workers.protocol.clock import utcnow

logger = logging.getLogger(__name__)
HISTORY = timedelta(minutes=600)


@shared_task
def fetch() -> int:
    """The newest candles of every pair from the venue's public endpoints; returns how many were new.

    What the venue refuses for one pair is logged and left to the next minute: exits of the others wait for theirs.
    """
    from apps.trading.sources.ccxt_source import CcxtSource

    if clock().source == Source.REPLAY:
        return 0
    now, venue = utcnow(), str(parameters.get("trading.venue"))
    source, accepted = CcxtSource(venue), 0
    for pair in pairs():
        try:
            rows = source.rows(pair, since(venue, pair, now), now)
        except CandleRefused as error:
            logger.warning("No candles of a pair", extra={"pair": pair, "error": str(error)})
            continue
        accepted += candles.ingest(Source.LIVE, venue, pair, rows, now).accepted
    return accepted


def pairs() -> list[str]:
    """Those that may be entered, and those that are held: a pair may leave the list while a position is open."""
    held = sorted(positions.open().values_list("pair", flat=True))
    return list(dict.fromkeys([*limits.current().allowed_pairs, *held]))


def since(venue: str, pair: str, now: datetime) -> datetime:
    """Where the stored candles of a pair end, or ten hours ago."""
    stored = Candle.objects.filter(source=Source.LIVE, venue=venue, pair=pair)
    last = stored.aggregate(at=Max("opened_at"))["at"]
    return max(last + timedelta(minutes=1), now - HISTORY) if last else now - HISTORY


@shared_task
def step() -> None:
    """One step of trading, where the market is live."""
    from apps.trading import pipeline

    if clock().source != Source.REPLAY:
        wall = utcnow()
        pipeline.step(wall, wall)


@shared_task
def reconcile() -> bool:
    """Our books beside the venue's; in a replay too, since orders are real rows there."""
    from apps.trading import reconciliation

    wall = utcnow()
    return bool(reconciliation.run(market_now(wall), wall).ok)
