"""The nodes' broker: one narrow account a node, published work, and what ends both.

A node's account can do one thing, BRPOP under its own prefix. Rows are the truth: the aclfile, the queues, all of the
broker can be lost; `restore_accounts` and the dispatcher's sweep make them good.
"""

import base64
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, cast
from urllib.parse import urlsplit

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from workers.protocol.ids import message_id

TASK = "mesh.run"
LANES = ("inference.cuda", "inference.metal", "inference.cpu", "scan", "consensus")
COMMANDS = ("+auth", "+hello", "+ping", "+select", "+client|setname", "+client|setinfo", "+brpop")
# Redis knows CLIENT SETINFO from this version on, and refuses rules that name what it does not know.
SETINFO_SINCE = (7, 2)
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Account:
    """What a node is told at enrolment; the password is nowhere else, the platform keeps its SHA-256."""

    url: str
    username: str
    password: str
    prefix: str

    def as_dict(self) -> dict[str, str]:
        """For the answer to an enrolment."""
        return asdict(self)


@lru_cache(maxsize=1)
def client() -> Redis:
    """The administrator's connection pool."""
    return Redis.from_url(settings.NODES_REDIS_URL, socket_timeout=5, socket_connect_timeout=5)


def bare(node_id: str) -> str:
    """A node's id without its prefix."""
    return node_id.removeprefix("node_")


def username(node_id: str) -> str:
    """The account's name."""
    return f"node-{bare(node_id)}"


def prefix(node_id: str) -> str:
    """What all keys of the node begin with."""
    return f"n{bare(node_id)}:"


def queue(node_id: str, lane: str) -> str:
    """The key of one lane's queue."""
    return f"{prefix(node_id)}{lane}"


def public_url() -> str:
    """Where nodes dial; in plain text only on this machine."""
    address = str(settings.NODES_REDIS_PUBLIC)
    if "://" in address:
        return f"{address.rstrip('/')}/0"
    scheme = "redis" if urlsplit(f"//{address}").hostname in LOOPBACK else "rediss"
    return f"{scheme}://{address}/0"


def new_secret() -> str:
    """A password that only the node will know."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """What the platform stores of it, and what ACL SETUSER takes after `#`."""
    return sha256(secret.encode()).hexdigest()


def account(node_id: str, secret: str) -> Account:
    """What the node is told; `open_account` makes it work."""
    return Account(public_url(), username(node_id), secret, prefix(node_id))


def rule(node_id: str, digest: str, version: tuple[int, ...] = SETINFO_SINCE) -> list[str]:
    """The whole of what an account may do, for ACL SETUSER."""
    commands = [c for c in COMMANDS if version >= SETINFO_SINCE or c != "+client|setinfo"]
    return ["reset", "on", f"#{digest}", f"~{prefix(node_id)}*", "resetchannels", "-@all", *commands]


def _version(broker: Redis) -> tuple[int, ...]:
    info = cast(Mapping[str, Any], broker.info("server"))
    return tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])


def open_account(node_id: str, digest: str) -> None:
    """Make the account, or put it back to exactly its rule, and keep it on disk."""
    restore_accounts([(node_id, digest)], known=set())


def restore_accounts(nodes: Iterable[tuple[str, str]], known: set[str] | None = None) -> list[str]:
    """Make the accounts, of (node id, digest), that the broker has lost; returns those nodes' ids."""
    broker = client()
    present = {_text(user) for user in broker.acl_users()} if known is None else known
    lost = [(node_id, digest) for node_id, digest in nodes if digest and username(node_id) not in present]
    if not lost:
        return []
    version = _version(broker)
    with broker.pipeline(transaction=False) as pipe:
        for node_id, digest in lost:
            _queue(pipe, "ACL SETUSER", username(node_id), *rule(node_id, digest, version))
        _queue(pipe, "ACL SAVE")
        pipe.execute()
    return [node_id for node_id, _ in lost]


def renew_account(node_id: str, digest: str) -> None:
    """Another secret: the old one's connections are cut, and what waits, sealed to an old key, is deleted."""
    with client().pipeline(transaction=False) as pipe:
        _queue(pipe, "ACL SETUSER", username(node_id), *rule(node_id, digest, _version(client())))
        _queue(pipe, "CLIENT KILL", "USER", username(node_id))
        pipe.delete(*(queue(node_id, lane) for lane in LANES))
        _queue(pipe, "ACL SAVE")
        pipe.execute()


def revoke(node_id: str) -> None:
    """Close the account, cut its connections, delete its queues. In this order, so that nothing is read in between."""
    with client().pipeline(transaction=False) as pipe:
        _queue(pipe, "ACL SETUSER", username(node_id), "off")
        _queue(pipe, "CLIENT KILL", "USER", username(node_id))
        pipe.delete(*(queue(node_id, lane) for lane in LANES))
        _queue(pipe, "ACL SAVE")
        pipe.execute()


def purge(node_id: str) -> None:
    """Delete what the node has not fetched: its work was taken back."""
    client().delete(*(queue(node_id, lane) for lane in LANES))


def message(envelope: Mapping[str, Any], lane: str) -> bytes:
    """A signed envelope as the Celery message, in kombu's format for Redis, that calls `mesh.run(envelope)`."""
    task_id = message_id()
    body = json.dumps([[envelope], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    headers = {
        "lang": "py",
        "task": TASK,
        "id": task_id,
        "root_id": task_id,
        "parent_id": None,
        "group": None,
        "retries": 0,
        "timelimit": [None, None],
        "eta": None,
        "expires": None,
        "argsrepr": "",
        "kwargsrepr": "",
        "origin": "platform",
        "ignore_result": True,
    }
    properties = {
        "correlation_id": task_id,
        "reply_to": "",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": lane},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": task_id,
    }
    return json.dumps(
        {
            "body": base64.b64encode(body.encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": properties,
        }
    ).encode()


def publish(node_id: str, lane: str, envelope: Mapping[str, Any]) -> None:
    """Put one task into the lane's queue; the caller has seen to it that the node has a free slot."""
    publish_all([(node_id, lane, envelope)])


def publish_all(work: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
    """Put many (node id, lane, envelope) into their queues in one round trip."""
    with client().pipeline(transaction=False) as pipe:
        for node_id, lane, envelope in work:
            pipe.lpush(queue(node_id, lane), message(envelope, lane))
        pipe.execute()


def waiting(node_id: str, lane: str) -> list[dict[str, Any]]:
    """The envelopes that the node has not fetched yet, the next one first."""
    return [envelope for _, envelope in entries([queue(node_id, lane)])]


def entries(queues: Sequence[str]) -> list[tuple[tuple[str, bytes], dict[str, Any]]]:
    """What waits in the queues: ((queue, message), envelope), the next one of each queue first."""
    with client().pipeline(transaction=False) as pipe:
        for name in queues:
            pipe.lrange(name, 0, -1)
        lists = cast("list[list[bytes]]", pipe.execute()) if queues else []
    raw = [((name, one), one) for name, found in zip(queues, lists, strict=True) for one in reversed(found)]
    return [(where, json.loads(base64.b64decode(json.loads(one)["body"]))[0][0]) for where, one in raw]


def drop(messages: Iterable[tuple[str, bytes]]) -> None:
    """Remove (queue, message) pairs that `entries` has shown."""
    with client().pipeline(transaction=False) as pipe:
        for name, one in messages:
            pipe.lrem(name, 0, one.decode())
        pipe.execute()


def answers() -> bool:
    """Whether the broker is there."""
    try:
        return bool(client().ping())
    except RedisError:
        return False


def _queue(pipe: Any, *words: str) -> None:
    """A command that redis-py has no method for, or an untyped one."""
    pipe.execute_command(*words)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
