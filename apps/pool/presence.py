"""Who is there: sockets and heartbeats as facts in the platform's Redis, a node's state as a row.

The gateway and the node API write facts and never touch a row; the dispatcher alone turns facts into states.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

import msgspec
from channels.layers import get_channel_layer
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from apps.core import platform_keys
from apps.pool import hints
from workers.protocol.envelope import sign_envelope

logger = logging.getLogger(__name__)
CONTROLS = {
    "control.cancel",
    "control.drain",
    "control.resume",
    "control.revoked",
    "control.work",
    "control.parameters",
    "control.banned",
    "control.unbanned",
    "control.limits",
}
SOCKETS = "pool:sockets"
OPENED = "pool:opened"
CLOSED = "pool:closed"
BEAT = "pool:gateway:{}"
BEATS = "pool:heartbeats"
BEATS_TAKEN = "pool:heartbeats:taken"
USED = "pool:used:{}:{}"
PENDING = "pool:pending"
MOST_MODELS = 200
WAKE = hints.CHANNEL

# A socket replaces the node's older one, and undoes its close.
OPEN_LUA = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('PUBLISH', ARGV[4], '1')
"""
# A close counts only for the node's present socket.
CLOSE_LUA = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('PUBLISH', ARGV[4], '1')
return 1
"""
DONE_LUA = "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end"
# The replay guard of heartbeats and their buffer in one step. It is Redis, not PostgreSQL: 30 s later the next one
# comes, an older one never replaces a newer, and so a lost guard would change nothing.
BEAT_LUA = """
if not redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then return {0, 0} end
local held = redis.call('HGET', KEYS[2], ARGV[2])
if not held or cjson.decode(held)['sent_at'] < tonumber(ARGV[4]) then redis.call('HSET', KEYS[2], ARGV[2], ARGV[3]) end
return {1, tonumber(redis.call('GET', KEYS[3]) or '0')}
"""


class Heard(msgspec.Struct, frozen=True):
    """A heartbeat as it was received: times in unix ms, load in percent, memory in MiB."""

    at: int
    sent_at: int
    load: int
    slots: dict[str, int]
    memory_free_mb: int
    running: list[str] = []
    draining: bool = False
    models: list[str] = []
    held: list[str] = []
    held_until: int = 0
    limits: dict[str, Any] = {}
    transport: str = ""

    @property
    def clock_offset_ms(self) -> int:
        """The node's clock less ours, the way there included."""
        return self.sent_at - self.at


@dataclass(frozen=True)
class Closed:
    """A socket that closed: which gateway held it, when in unix ms, and the fact's own text."""

    gateway: str
    at: int
    text: bytes


@dataclass(frozen=True)
class Opened:
    """A hello that was accepted: the body of node.hello, and the fact's own text."""

    hello: Mapping[str, Any]
    text: bytes


@lru_cache(maxsize=1)
def redis() -> Redis:
    """The platform's Redis."""
    return Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5)


def model_names(names: Iterable[str]) -> list[str]:
    """A node's list of models, in order, without what cannot be a name."""
    return sorted({name for name in names if name.isprintable() and 0 < len(name) <= 120})[:MOST_MODELS]


def group(node_id: str) -> str:
    """The Channels group of a node's socket."""
    return f"socket.{node_id}"


def control(node_id: str, kind: str, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A signed message to a node."""
    if kind not in CONTROLS:
        raise ValueError(f"{kind} is not a control message")
    key, net = platform_keys.signing_key(), platform_keys.network_id()
    return sign_envelope(kind, body, key=key, net=net, sender="platform", to=node_id, now=now)


def tell(node_id: str, kind: str, body: Mapping[str, Any], now: datetime) -> None:
    """Send a control message over the node's socket, wherever it is; a node without one learns by heartbeat."""
    _to_socket(node_id, {"type": "node.control", "envelope": json.dumps(control(node_id, kind, body, now))})


def hang_up(node_id: str) -> None:
    """Close the node's socket, wherever it is: whoever holds the node's key opens a new one."""
    _to_socket(node_id, {"type": "node.replaced", "by": ""})


def _to_socket(node_id: str, message: dict[str, Any]) -> None:
    layer: Any = get_channel_layer()
    if layer is None:
        return
    # Straight to Redis in the layer's own form: from synchronous code the layer opens a connection for each message.
    prefix = settings.LIVE_PREFIX
    try:
        redis().publish(f"{prefix}__group__{group(node_id)}", layer.serialize(message))
    except (OSError, RedisError) as error:
        logger.warning(
            "A control message was not sent", extra={"node": node_id, "kind": message["type"], "error": str(error)}
        )


def buffer_heartbeat(node_id: str, message_id: str, life_ms: int, heard: Heard) -> int | None:
    """Keep a heartbeat until it is flushed; returns how many tasks wait in the network, None for a replayed one."""
    keys = [USED.format(node_id, message_id), BEATS, PENDING]
    values = [max(1, life_ms), node_id, msgspec.json.encode(heard), heard.sent_at]
    fresh, pending = cast("tuple[int, int]", _beat_script()(keys=keys, args=values))
    return int(pending) if fresh else None


@lru_cache(maxsize=1)
def _beat_script() -> Any:
    return redis().register_script(BEAT_LUA)


def take_heartbeats() -> dict[str, Heard]:
    """What was buffered since the last time; it stays until `heartbeats_done`, whatever happens in between."""
    client = redis()
    if not client.exists(BEATS_TAKEN):
        if not client.exists(BEATS):
            return {}
        client.rename(BEATS, BEATS_TAKEN)
    taken = cast("dict[bytes, bytes]", client.hgetall(BEATS_TAKEN))
    return {node.decode(): msgspec.json.decode(text, type=Heard) for node, text in taken.items()}


def heartbeats_done() -> None:
    """They are in the database."""
    redis().delete(BEATS_TAKEN)


def opened() -> dict[str, Opened]:
    """Hellos that nobody has acted on yet, by node."""
    facts = cast("dict[bytes, bytes]", redis().hgetall(OPENED))
    return {node.decode(): Opened(json.loads(text), text) for node, text in facts.items()}


def closed() -> dict[str, Closed]:
    """Closed sockets that nobody has acted on to the end, by node."""
    facts = cast("dict[bytes, bytes]", redis().hgetall(CLOSED))
    return {node.decode(): Closed(**json.loads(text), text=text) for node, text in facts.items()}


def done(key: str, node_id: str, text: bytes) -> None:
    """Forget a fact, unless a newer one has replaced it."""
    redis().eval(DONE_LUA, 1, key, node_id, text)


def gateway_beat(gateway: str) -> int:
    """When the gateway was last alive, in unix ms; 0 where it is gone."""
    return int(cast("bytes | None", redis().get(BEAT.format(gateway))) or 0)


def connected(node_ids: Iterable[str]) -> set[str]:
    """Those of the nodes that have a socket."""
    wanted = list(node_ids)
    found = cast("list[bytes | None]", redis().hmget(SOCKETS, wanted)) if wanted else []
    return {node for node, socket in zip(wanted, found, strict=True) if socket}


def note_pending(count: int) -> None:
    """How many tasks wait; goes out with the answers to heartbeats."""
    redis().set(PENDING, count, ex=60)
