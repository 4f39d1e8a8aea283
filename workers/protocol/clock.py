"""The clock, read at the edges only; every rule that depends on time takes `now` as an argument."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def utcnow() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def unix_ms(moment: datetime) -> int:
    """Milliseconds since 1970; refuses a moment without a time zone."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    # Whole numbers throughout: as a float, some moments would lose their last millisecond.
    return (moment - EPOCH) // MILLISECOND


def from_unix_ms(value: int) -> datetime:
    """The moment of a number of milliseconds since 1970."""
    return EPOCH + value * MILLISECOND
