"""The event log: a row for history, and a message on each live topic once the row is committed."""

import logging
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from channels.layers import get_channel_layer
from django.conf import settings
from django.db import transaction
from redis import Redis
from redis.exceptions import RedisError

from apps.core.models import Event, User
from apps.core.request_id import current_request_id

logger = logging.getLogger(__name__)


def emit(
    kind: str,
    *,
    subject: str,
    topics: Iterable[str] = (),
    data: dict[str, Any] | None = None,
    now: datetime,
    actor: User | None = None,
) -> Event:
    """Write one event and publish it on `topics` after commit. A topic is a hint; the row is the truth."""
    event = Event.objects.create(
        kind=kind, subject=subject, data=data or {}, actor=actor, request_id=current_request_id(), at=now
    )
    message = {
        "kind": kind,
        "subject": subject,
        "data": data or {},
        "at": now.isoformat().replace("+00:00", "Z"),
    }
    transaction.on_commit(partial(publish, tuple(topics), message))
    return event


def group_name(topic: str) -> str:
    """The Channels group of a topic: `job.job_01…` is `live.job.job_01…`."""
    return f"live.{topic}"[:99]


def publish(topics: Iterable[str], message: dict[str, Any]) -> None:
    """Send a message to everybody who watches one of the topics; a lost message loses nothing but freshness."""
    layer: Any = get_channel_layer()
    if layer is None:
        return
    # Straight to Redis in the layer's own form: from synchronous code the layer would start an event loop and open a
    # connection for each message, which takes ten times as long.
    pipeline = _redis().pipeline(transaction=False)
    for topic in topics:
        sent = {"type": "live.message", "topic": topic, "message": message}
        pipeline.publish(f"{settings.LIVE_PREFIX}__group__{group_name(topic)}", layer.serialize(sent))
    try:
        pipeline.execute()
    except RedisError as error:
        logger.warning("A live message was not sent", extra={"topics": list(topics), "error": str(error)})


@lru_cache(maxsize=1)
def _redis() -> Redis:
    return Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
