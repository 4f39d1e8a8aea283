"""How often somebody may try in a minute; kept in the cache, so that it holds for all processes."""

from django.core.cache import cache

from apps.operators.errors import TooManyAttempts

WINDOW_S = 60


def count(name: str, most: int) -> None:
    """Count one attempt under a name. Raises TooManyAttempts above `most` within the minute that the first began."""
    key = f"attempts:{name}"
    if cache.add(key, 1, WINDOW_S):
        return
    try:
        tried = cache.incr(key)
    except ValueError:  # The minute ended in between.
        return
    if tried > most:
        raise TooManyAttempts
