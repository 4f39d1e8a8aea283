"""The platform's replay guard: durable, shared by its processes."""

from datetime import datetime

from django.db import connection

from apps.pool.models import UsedMessage
from workers.protocol.clock import from_unix_ms

_INSERT = (
    "INSERT INTO pool_usedmessage (sender, message_id, expires_at) VALUES (%s, %s, %s)"
    " ON CONFLICT (sender, message_id) DO NOTHING"
)
PRUNE_AT_ONCE = 50_000


class DatabaseReplayGuard:
    """Remembers messages in PostgreSQL, in the caller's transaction where there is one."""

    def seen(self, sender: str, message_id: str, expires_at_ms: int) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, [sender, message_id, from_unix_ms(expires_at_ms)])
            return bool(cursor.rowcount == 0)


def prune(now: datetime) -> int:
    """Forget messages that have expired; returns how many."""
    due = UsedMessage.objects.filter(expires_at__lt=now).values("pk")[:PRUNE_AT_ONCE]
    return UsedMessage.objects.filter(pk__in=due).delete()[0]
