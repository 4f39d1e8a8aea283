"""What tests of presence share: beats, sockets that close, moments."""

import json
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from apps.core.models import User
from apps.operators.models import Node
from apps.pool import dispatch, presence, submission
from apps.pool.dispatcher import Dispatcher
from apps.pool.models import Task
from tests.apps.pool import cast
from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.ids import message_id

_moment = [utcnow()]


def begin() -> None:
    """A test begins now: what expires is counted by the real clock."""
    _moment[0] = utcnow()


def start() -> datetime:
    """The moment that the test began."""
    return _moment[0]


def at(seconds: float) -> datetime:
    return start() + timedelta(seconds=seconds)


def seasoned(**options: Any) -> Dispatcher:
    made = Dispatcher(at(-1000), **{"is_heard": lambda: True, **options})
    made.last_round = start()
    return made


def beat(machine: cast.Machine, now: datetime, **changes: Any) -> None:
    """The node API buffers a heartbeat."""
    ms = unix_ms(now)
    values = {"at": ms, "sent_at": ms, "load": 10, "slots": {cast.LANE: 2}, "memory_free_mb": 4000, **changes}
    presence.buffer_heartbeat(machine.node.pk, message_id(), 60_000, presence.Heard(**values))


def fresh(machine: cast.Machine) -> Node:
    machine.node.refresh_from_db()
    return machine.node


def rounds(dispatcher: Dispatcher, *moments: float) -> None:
    """Rounds at those moments, each with every chore due."""
    for moment in moments:
        dispatcher._due.clear()
        dispatcher.last_round = at(moment)
        dispatcher.round(at(moment))


def give(machine: cast.Machine, rita: User, now: datetime | None = None) -> cast.Assignment:
    """A task of Rita's, in the node's hands and waiting in its queue."""
    now = now or start()
    submission.submit(rita, cast.embed("a", chunk_size=1), now)
    assert dispatch.Post().hand_out(now) == 1
    task = Task.objects.get(node=machine.node)
    return dispatch.assignment_of(task)


def close(redis: Redis, machine: cast.Machine, moment: datetime, gateway: str = "g1") -> None:
    """The gateway notes a close."""
    redis.hset(presence.CLOSED, machine.node.pk, json.dumps({"gateway": gateway, "at": unix_ms(moment)}))


def gateway_lives(redis: Redis, moment: datetime, gateway: str = "g1") -> None:
    redis.set(presence.BEAT.format(gateway), unix_ms(moment))


def hello(redis: Redis, machine: cast.Machine, moment: datetime) -> None:
    """The gateway notes a hello, which undoes a close."""
    fact = {"at": unix_ms(moment), "models": []}
    redis.hset(presence.OPENED, machine.node.pk, json.dumps(fact))
    redis.hdel(presence.CLOSED, machine.node.pk)
