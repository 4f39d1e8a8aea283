"""Waking the dispatcher. A hint may be lost: it looks by itself every second."""

import logging
from functools import lru_cache

from django.conf import settings
from django.db import transaction
from redis import Redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)
CHANNEL = "pool.wake"


@lru_cache(maxsize=1)
def _client() -> Redis:
    return Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


def wake() -> None:
    """Once the transaction is committed, tell whoever hands out work that there may be some."""
    transaction.on_commit(_publish)


def _publish() -> None:
    try:
        _client().publish(CHANNEL, b"1")
    except RedisError as error:
        logger.warning("A hint was not sent", extra={"error": str(error)})
