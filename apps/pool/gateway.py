"""The gateway: one WebSocket a node at /ws/node. No cookies; a challenge, and a signed hello within 5 seconds.

It keeps facts in the platform's Redis and sends what the platform tells the node; states are the dispatcher's.
"""

import asyncio
import hmac
import json
import logging
import secrets
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

from apps.core import parameters
from apps.core.errors import MeshError
from apps.pool import presence
from apps.pool.node_api.keys import open_from_node
from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.errors import ProtocolError
from workers.protocol.ids import message_id
from workers.protocol.messages import NodeHello

logger = logging.getLogger(__name__)
HELLO_SECONDS = 5.0
BEAT_SECONDS = 0.5
BEAT_LIFE_MS = 10_000
MAX_BYTES = 64 * 2**10
REFUSED, LATE, REPLACED, TOO_BIG = 4401, 4408, 4409, 1009


class HelloRefused(MeshError):
    """The hello does not answer this socket's challenge."""

    code = "wrong_challenge"
    status = 401


class Gateway:
    """This process' part: its own id, its sockets, and a beat that says that it stayed up.

    A close counts only if a later beat follows it, so that a gateway that ends takes no node's work away.
    """

    def __init__(self) -> None:
        self.id = message_id()
        self.redis: Redis = Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5)
        self.sockets: dict[Any, Any] = {}
        self._beating: asyncio.Task[None] | None = None

    def keep_beating(self) -> None:
        """Start the beat unless it runs."""
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat_on())

    async def _beat_on(self) -> None:
        task = asyncio.current_task()
        # redis-py swallows a cancellation that comes while it connects, so it is asked for here as well.
        while task is not None and not task.cancelling():
            with suppress(RedisError, OSError):
                await self.beat()
            await asyncio.sleep(BEAT_SECONDS)

    async def beat(self) -> None:
        """Say that this gateway lives, and which nodes it holds: a Redis that lost them learns them again."""
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.set(presence.BEAT.format(self.id), unix_ms(utcnow()), px=BEAT_LIFE_MS)
            if self.sockets:
                pipe.hset(presence.SOCKETS, mapping=self.sockets)
            await pipe.execute()

    async def opened(self, node_id: str, connection: str, hello: dict[str, Any]) -> None:
        """A node is here; an older socket of its own no longer counts. Raises RedisError."""
        keys = (presence.SOCKETS, presence.OPENED, presence.CLOSED)
        fact = json.dumps({"at": unix_ms(utcnow()), **hello})
        await self.redis.eval(presence.OPEN_LUA, 3, *keys, node_id, connection, fact, presence.WAKE)
        self.sockets[node_id] = connection
        await self.beat()

    async def closed(self, node_id: str, connection: str) -> None:
        """A node's socket closed; says so unless the node has another one by now."""
        if self.sockets.get(node_id) == connection:
            del self.sockets[node_id]
        fact = json.dumps({"gateway": self.id, "at": unix_ms(utcnow())})
        keys = (presence.SOCKETS, presence.CLOSED)
        try:
            await self.redis.eval(presence.CLOSE_LUA, 2, *keys, node_id, connection, fact, presence.WAKE)
        except (RedisError, OSError) as error:
            # Missed heartbeats will tell.
            logger.warning("A close was not noted", extra={"node": node_id, "error": str(error)[:200]})


_gateways: WeakKeyDictionary[asyncio.AbstractEventLoop, Gateway] = WeakKeyDictionary()


def gateway() -> Gateway:
    """The gateway of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _gateways:
        _gateways[loop] = Gateway()
    found = _gateways[loop]
    found.keep_beating()
    return found


class NodeConsumer(AsyncWebsocketConsumer):
    """One node's socket."""

    node_id = ""
    challenge = ""
    connection = ""
    _deadline: "asyncio.Task[None] | None" = None

    async def connect(self) -> None:
        self.challenge, self.connection = secrets.token_hex(32), message_id()
        gateway()
        await self.accept()
        self._deadline = asyncio.create_task(self._expect_hello())
        await self.send_json({"type": "challenge", "challenge": self.challenge})

    async def _expect_hello(self) -> None:
        await asyncio.sleep(HELLO_SECONDS)
        await self.refuse("hello_late", f"No signed hello came within {HELLO_SECONDS:g} seconds.", LATE)

    async def send_json(self, message: dict[str, Any]) -> None:
        """One message as text."""
        await self.send(text_data=json.dumps(message))

    async def refuse(self, code: str, detail: str, close: int = REFUSED) -> None:
        """Say why, and close."""
        await self.send_json({"type": "refused", "code": code, "detail": detail})
        await self.close(code=close)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data is None or len(text_data) > MAX_BYTES:
            await self.refuse("message_too_large", f"Messages are text of up to {MAX_BYTES} bytes.", TOO_BIG)
            return
        try:
            message = json.loads(text_data)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            await self.refuse("envelope_malformed", "A message is a JSON object.")
        elif not self.node_id:
            await self.greet(message)
        elif message == {"type": "ping"}:
            await self.send_json({"type": "pong"})

    async def greet(self, raw: dict[str, Any]) -> None:
        """Let the node in, or say why not. Nothing has happened until its signature and our challenge are checked."""
        try:
            node_id, hello = await database_sync_to_async(self.check)(raw)
            # Before the older socket is told, so that its close finds that it no longer counts.
            await gateway().opened(node_id, self.connection, hello)
        except (ProtocolError, MeshError) as error:
            await self.refuse(error.code, error.detail)
            return
        except (RedisError, OSError):
            await self.refuse("unavailable", "The gateway cannot take nodes at this moment.", 1013)
            return
        self.node_id = node_id
        self._stop_waiting()
        group = presence.group(node_id)
        await self.channel_layer.group_add(group, self.channel_name)
        await self.channel_layer.group_send(group, {"type": "node.replaced", "by": self.connection})
        await self.send_json({"type": "welcome", "node": node_id})
        interval = await database_sync_to_async(parameters.get)("pool.heartbeat_s")
        now = utcnow()
        await self.send_json(presence.control(node_id, "control.parameters", {"heartbeat_s": interval}, now))
        logger.info("Node connected", extra={"node": node_id})

    def check(self, raw: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The sender and its hello. The challenge is this socket's own, so a hello cannot be used twice."""
        envelope, hello = open_from_node(raw, NodeHello, utcnow(), durable=False)
        if not hmac.compare_digest(hello.challenge, self.challenge):
            raise HelloRefused
        return envelope.sender, {"models": presence.model_names(hello.models)}

    async def node_control(self, event: dict[str, Any]) -> None:
        """A control message from anywhere on the platform, signed already."""
        await self.send(text_data=event["envelope"])

    async def node_replaced(self, event: dict[str, Any]) -> None:
        """A newer socket of the same node exists."""
        if event["by"] != self.connection:
            await self.refuse("replaced", "The node has a newer connection.", REPLACED)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    async def disconnect(self, code: int) -> None:
        self._stop_waiting()
        if self.node_id:
            await gateway().closed(self.node_id, self.connection)
            await self.channel_layer.group_discard(presence.group(self.node_id), self.channel_name)
            logger.info("Node disconnected", extra={"node": self.node_id, "close": code})
