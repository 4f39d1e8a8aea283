"""The nodes' socket: a signed hello in time, one socket a node, signed words from the platform."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from redis import Redis

from apps.operators.models import NodeStatus
from apps.pool import gateway, presence
from apps.pool.gateway import NodeConsumer
from apps.pool.node_api.keys import directory
from tests.apps.pool import cast
from tests.apps.pool.node_link import Speaker, stranger, tamper
from workers.protocol.clock import unix_ms, utcnow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh(platform_redis: Redis) -> None:
    directory.forget()


@pytest.fixture
def node(ada: cast.Machine, client: Any) -> Speaker:
    return Speaker(ada, client)


def hello(challenge: str, **changes: Any) -> dict[str, Any]:
    return {"challenge": challenge, "version": 1, "models": [], "lanes": {cast.LANE: 2}, "running": [], **changes}


async def dial() -> tuple[WebsocketCommunicator, str]:
    """An open socket and its challenge."""
    socket = WebsocketCommunicator(NodeConsumer.as_asgi(), "/ws/node")
    assert (await socket.connect())[0]
    first = await socket.receive_json_from()
    assert first["type"] == "challenge"
    return socket, first["challenge"]


async def greet(node: Speaker) -> WebsocketCommunicator:
    """A socket whose hello was accepted."""
    socket, challenge = await dial()
    await socket.send_json_to(node.sign("node.hello", hello(challenge)))
    assert (await socket.receive_json_from(5))["type"] == "welcome"
    first = await socket.receive_json_from(5)
    assert node.open(first, "control.parameters") == {"heartbeat_s": 30}
    return socket


async def refusal(socket: WebsocketCommunicator) -> tuple[str, int]:
    """The code that the gateway gave, and the code that it closed with."""
    message = await socket.receive_json_from(10)
    closed = await socket.receive_output(5)
    assert closed["type"] == "websocket.close"
    return message["code"], closed["code"]


async def test_a_signed_hello_opens_the_socket(node: Speaker, platform_redis: Redis) -> None:
    socket = await greet(node)
    assert platform_redis.hexists(presence.SOCKETS, node.id)
    assert json.loads(platform_redis.hget(presence.OPENED, node.id) or b"{}")["models"] == []
    await socket.send_json_to({"type": "ping"})
    assert await socket.receive_json_from() == {"type": "pong"}
    await socket.disconnect()


WRONG = {
    "bad_signature": lambda n, c: tamper(n.sign("node.hello", hello(c)), lambda p: p["body"].update(version=2)),
    "unknown_key": lambda n, c: n.sign("node.hello", hello(c), key=stranger()),
    "wrong_sender": lambda n, c: n.sign("node.hello", hello(c), sender="node_x"),
    "wrong_kind": lambda n, c: n.sign("node.heartbeat", n.beat()),
    "wrong_network": lambda n, c: n.sign("node.hello", hello(c), net="meshwork-mainnet"),
    "wrong_recipient": lambda n, c: n.sign("node.hello", hello(c), to="node_x"),
    "expired": lambda n, c: n.sign("node.hello", hello(c), now=utcnow() - timedelta(seconds=400)),
    "wrong_challenge": lambda n, c: n.sign("node.hello", hello("00" * 32)),
    "unknown_field": lambda n, c: n.sign("node.hello", hello(c, more=1)),
    "envelope_malformed": lambda n, c: {"type": "ping"},
}


@pytest.mark.parametrize("code", WRONG)
async def test_a_wrong_hello_is_refused_with_its_code(node: Speaker, platform_redis: Redis, code: str) -> None:
    socket, challenge = await dial()
    await socket.send_json_to(WRONG[code](node, challenge))
    assert await refusal(socket) == (code, gateway.REFUSED)
    assert not platform_redis.exists(presence.SOCKETS, presence.OPENED, presence.CLOSED)


async def test_a_hello_overheard_on_one_socket_opens_no_other(node: Speaker) -> None:
    one, challenge = await dial()
    overheard = node.sign("node.hello", hello(challenge))
    two, _ = await dial()
    await two.send_json_to(overheard)
    assert await refusal(two) == ("wrong_challenge", gateway.REFUSED)
    await one.disconnect()


async def test_a_hello_that_is_late_is_refused(node: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "HELLO_SECONDS", 0.2)
    socket, _ = await dial()
    assert await refusal(socket) == ("hello_late", gateway.LATE)


async def test_a_revoked_node_is_not_let_in(node: Speaker) -> None:
    await sync_to_async(node.machine.node.move)(NodeStatus.REVOKED, "Gone.", "Enrol again.", utcnow())
    directory.forget()
    socket, challenge = await dial()
    await socket.send_json_to(node.sign("node.hello", hello(challenge)))
    assert await refusal(socket) == ("node_revoked", gateway.REFUSED)


@pytest.mark.parametrize("text", ["no json", "[]", "1"])
async def test_what_is_no_message_closes_the_socket(text: str) -> None:
    socket, _ = await dial()
    await socket.send_to(text_data=text)
    assert await refusal(socket) == ("envelope_malformed", gateway.REFUSED)


async def test_messages_have_a_size(node: Speaker) -> None:
    socket, _ = await dial()
    await socket.send_to(text_data=json.dumps({"payload": "A" * 70_000}))
    assert await refusal(socket) == ("message_too_large", gateway.TOO_BIG)


async def test_a_newer_socket_replaces_the_older_and_the_node_stays(node: Speaker, platform_redis: Redis) -> None:
    one = await greet(node)
    held = platform_redis.hget(presence.SOCKETS, node.id)
    two = await greet(node)
    assert await refusal(one) == ("replaced", gateway.REPLACED)
    await one.disconnect()
    assert platform_redis.hget(presence.SOCKETS, node.id) not in {None, held}
    assert not platform_redis.exists(presence.CLOSED)
    await two.disconnect()


async def test_a_close_is_noted_with_its_gateway_which_goes_on_beating(node: Speaker, platform_redis: Redis) -> None:
    socket = await greet(node)
    start = unix_ms(utcnow())
    await socket.disconnect()
    fact = presence.closed()[node.id]
    assert fact.at >= start
    assert not platform_redis.hexists(presence.SOCKETS, node.id)
    for _ in range(40):
        if presence.gateway_beat(fact.gateway) > fact.at:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the gateway did not go on")


async def test_the_platforms_words_arrive_signed_and_only_at_their_node(node: Speaker, bert: cast.Machine) -> None:
    other = Speaker(bert, node.client)
    mine, theirs = await greet(node), await greet(other)
    for kind, body in {
        "control.cancel": {"tasks": ["tsk_1"]},
        "control.drain": {},
        "control.revoked": {"reason": "Gone."},
        "control.work": {"lane": cast.LANE},
    }.items():
        await sync_to_async(presence.tell)(node.id, kind, body, utcnow())
        assert node.open(await mine.receive_json_from(5), kind) == body
    assert await theirs.receive_nothing(0.2)
    await mine.disconnect()
    await theirs.disconnect()


async def test_only_control_messages_can_be_told(node: Speaker) -> None:
    with pytest.raises(ValueError, match=r"task\.run is not a control message"):
        await sync_to_async(presence.tell)(node.id, "task.run", {}, utcnow())
