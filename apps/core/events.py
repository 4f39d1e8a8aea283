"""The event log: a row for history, and a message on each live topic once the row is committed."""

import logging
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

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
    layer = get_channel_layer()
    if layer is None:
        return
    send = async_to_sync(layer.group_send)
    for topic in topics:
        try:
            send(group_name(topic), {"type": "live.message", "topic": topic, "message": message})
        except (OSError, RuntimeError) as error:
            logger.warning("A live message was not sent", extra={"topic": topic, "error": str(error)})
