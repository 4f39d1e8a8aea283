"""Challenges for one use: what is to be signed waits in the cache, and the first who answers it uses it up.

A cache that forgets makes challenges unknown, never good again.
"""

import secrets
from datetime import datetime
from typing import Any

from django.core.cache import cache

from apps.operators import wallet_errors as errors
from workers.protocol.clock import unix_ms

LIFE_S = 600


def issue(content: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The content with a nonce for one use and a deadline (unix ms)."""
    challenge = {**content, "nonce": secrets.token_hex(16), "deadline": unix_ms(now) + LIFE_S * 1000}
    # Kept a little longer than it is good, so that a late answer is told that it is late.
    cache.set(f"challenge:{challenge['nonce']}", challenge, LIFE_S * 2)
    return challenge


def find(nonce: object, now: datetime) -> dict[str, Any]:
    """The challenge as it was issued; raises ChallengeUnknown or ChallengeExpired."""
    found: dict[str, Any] | None = cache.get(f"challenge:{nonce}") if isinstance(nonce, str) else None
    if found is None:
        raise errors.ChallengeUnknown
    if unix_ms(now) > found["deadline"]:
        raise errors.ChallengeExpired
    return found


def use(challenge: dict[str, Any]) -> None:
    """Use it up; one caller of any number gets past this. Raises ChallengeUsed."""
    if not cache.add(f"challenge-used:{challenge['nonce']}", 1, LIFE_S * 3):
        raise errors.ChallengeUsed
