"""The clock, read at the edges only; every rule that depends on time takes `now` as an argument."""

from datetime import UTC, datetime


def utcnow() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def unix_ms(moment: datetime) -> int:
    """Milliseconds since 1970; refuses a moment without a time zone."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return int(moment.timestamp() * 1000)


def from_unix_ms(value: int) -> datetime:
    """The moment of a number of milliseconds since 1970."""
    return datetime.fromtimestamp(value / 1000, UTC)
