"""The order of the queue: priority first (lower comes first), then a time that makes room for everybody."""

from datetime import datetime

from workers.protocol.clock import unix_ms

# The priority stands above 44 bits of milliseconds, so that a lower one always comes first.
PRIORITY_STEP = 1 << 44
SPACING_MS = 50
HIGHEST, LOWEST = 0, 9


def order_key(priority: int, created_at: datetime, backlog: int, expires_at: datetime) -> int:
    """A task's place: its creation, 50 ms later for each task its requester has waiting, but never past its expiry.

    So a requester with ten thousand tasks in the queue does not hold up the next one's first.
    """
    at = min(unix_ms(created_at) + backlog * SPACING_MS, unix_ms(expires_at))
    return priority * PRIORITY_STEP + at


def raised(order_key: int) -> int:
    """The same time, one priority higher."""
    return order_key - PRIORITY_STEP if order_key >= PRIORITY_STEP else order_key
