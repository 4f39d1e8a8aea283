"""Hints that there may be work to hand out. One may be lost: whoever waits for them looks by itself every second."""

import logging
import threading
from functools import lru_cache, partial
from typing import Any

from django.conf import settings
from django.db import transaction
from redis import Redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)
CHANNEL = "pool.wake"
OF_NODE = "pool.wake.{}"


@lru_cache(maxsize=1)
def _client() -> Redis:
    return Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


@lru_cache(maxsize=1)
def _listening() -> Redis:
    # A subscription reads for longer than a command does.
    return Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5)


def wake() -> None:
    """Once the transaction is committed, tell whoever hands out work that there may be some."""
    transaction.on_commit(partial(_publish, CHANNEL))


def wake_node(node_id: str) -> None:
    """Once the transaction is committed, tell the claims of one node that wait that there may be more for them."""
    transaction.on_commit(partial(_publish, OF_NODE.format(node_id)))


def _publish(channel: str) -> None:
    try:
        _client().publish(channel, b"1")
    except RedisError as error:
        logger.warning("A hint was not sent", extra={"error": str(error)})


class Hearing:
    """A subscription to hints, and to those of one node if it is named; without Redis it just waits."""

    def __init__(self, node_id: str = "") -> None:
        self._channels = [CHANNEL, *([OF_NODE.format(node_id)] if node_id else [])]
        self._heard: Any = None

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Return at a hint, at a stop, or after that many seconds."""
        try:
            if self._heard is None:
                self._heard = _listening().pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
                self._heard.subscribe(*self._channels)
            if self._heard.get_message(timeout=seconds):
                # Hints come in flocks; one look answers all of them.
                while self._heard.get_message(timeout=0):
                    pass
        except (RedisError, OSError):
            self.close()
            stop.wait(seconds)

    def close(self) -> None:
        """End the subscription; the next wait begins another."""
        heard, self._heard = self._heard, None
        if heard is not None:
            heard.close()
