"""The market's time: the wall's when live, the recordings' in a replay. Every rule of trading takes it as `now`."""

from datetime import datetime

from apps.trading.models import MarketClock, Source


def clock() -> MarketClock:
    """The one row, made where it is missing."""
    return MarketClock.objects.get_or_create(pk=1)[0]


def market_now(wall: datetime) -> datetime:
    """What time the market has."""
    row = clock()
    if row.source == Source.REPLAY and row.market_at is not None:
        return row.market_at
    return wall


def start_replay(label: str, begins: datetime, ends: datetime, wall: datetime) -> None:
    """From now on the market's time is a recording's."""
    MarketClock.objects.update_or_create(
        pk=1,
        defaults={"source": Source.REPLAY, "market_at": begins, "ends_at": ends, "label": label, "moved_at": wall},
    )


def move_to(market_at: datetime, wall: datetime) -> None:
    """Move a replay forward, never back."""
    MarketClock.objects.filter(pk=1, source=Source.REPLAY, market_at__lt=market_at).update(
        market_at=market_at, moved_at=wall
    )
