"""The live socket `/ws/live?topics=a,b`: a session, the site's own Origin, and topics that the user may read."""

from collections.abc import Callable
from importlib import import_module
from time import monotonic
from typing import Any
from urllib.parse import parse_qs

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings

from apps.core import staff
from apps.core.errors import TopicRefused
from apps.core.events import group_name

MAX_TOPICS = 16
# How long a socket goes on telling after its session was ended or its user lost a right.
RECHECK_S = 30.0
Check = Callable[[Any, str], bool]
_checks: dict[str, Check] = {}


def register_topic(prefix: str, check: Check) -> None:
    """Say who may read topics `<prefix>` and `<prefix>.<rest>`: `check(user, rest)`; the user may be anonymous."""
    _checks[prefix] = check


def may_read(user: Any, topic: str) -> bool:
    """Whether the user may watch the topic; unknown topics never."""
    prefix, _, rest = topic.partition(".")
    check = _checks.get(prefix)
    return bool(check and check(user, rest))


class LiveConsumer(AsyncJsonWebsocketConsumer):
    """Sends `{"topic", "message"}` for each event of the topics named in the query string."""

    topics: list[str]
    checked_at: float

    async def connect(self) -> None:
        self.checked_at = monotonic()
        query = parse_qs(self.scope["query_string"].decode())
        self.topics = [t for t in ",".join(query.get("topics", [])).split(",") if t][:MAX_TOPICS]
        if refused := await self._refused(self.scope["user"]):
            await self.accept()
            await self._turn_away(refused)
            return
        for topic in self.topics:
            await self.channel_layer.group_add(group_name(topic), self.channel_name)
        await self.accept()
        await self.send_json({"ready": self.topics})

    async def disconnect(self, code: int) -> None:
        for topic in self.topics:
            await self.channel_layer.group_discard(group_name(topic), self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        if content == {"ping": 1}:
            await self.send_json({"pong": 1})

    async def live_message(self, event: dict[str, Any]) -> None:
        if monotonic() - self.checked_at > RECHECK_S:
            self.checked_at = monotonic()
            if refused := await self._refused(await self._user_now()):
                await self._turn_away(refused)
                return
        await self.send_json({"topic": event["topic"], "message": event["message"]})

    async def _user_now(self) -> Any:
        """Whom the session stands for at this moment: nobody once it was ended or the password changed."""
        scope: Any = dict(self.scope)
        if key := getattr(scope.get("session"), "session_key", None):
            scope["session"] = import_module(settings.SESSION_ENGINE).SessionStore(key)
        return await get_user(scope)

    @database_sync_to_async
    def _refused(self, user: Any) -> str | None:
        """The first topic that the user may not read."""
        if session := self.scope.get("session"):
            user = staff.marked(user, session)
        return next((topic for topic in self.topics if not may_read(user, topic)), None)

    async def _turn_away(self, topic: str) -> None:
        await self.send_json({"error": TopicRefused.code, "topic": topic})
        await self.close(code=4403)
