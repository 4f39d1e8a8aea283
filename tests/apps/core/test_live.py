"""Live topics: published on commit only, and only to those who may read them."""

from datetime import UTC, datetime

import pytest
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.test import Client

from apps.core import events, live
from apps.core.live import may_read
from apps.core.models import Event, User
from meshwork.asgi import application

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = [(b"origin", b"http://localhost"), (b"host", b"localhost")]


def open_socket(topics: str, headers: list[tuple[bytes, bytes]] | None = None) -> WebsocketCommunicator:
    return WebsocketCommunicator(
        application, f"/ws/live?topics={topics}", headers=ORIGIN if headers is None else headers
    )


@pytest.mark.django_db(transaction=True)
async def test_an_event_reaches_those_who_watch_its_topic() -> None:
    from asgiref.sync import sync_to_async

    socket = open_socket("network")
    connected, _ = await socket.connect()
    assert connected
    assert await socket.receive_json_from() == {"ready": ["network"]}

    def emit() -> None:
        with transaction.atomic():
            events.emit("node.joined", subject="node_1", topics=["network"], data={"name": "a"}, now=NOW)

    await sync_to_async(emit)()
    message = await socket.receive_json_from(timeout=3)
    assert message["topic"] == "network"
    assert message["message"]["kind"] == "node.joined"
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_an_event_that_was_rolled_back_is_never_published() -> None:
    from asgiref.sync import sync_to_async

    socket = open_socket("network")
    await socket.connect()
    await socket.receive_json_from()

    def roll_back() -> None:
        with transaction.atomic():
            events.emit("node.joined", subject="node_1", topics=["network"], now=NOW)
            transaction.set_rollback(True)

    await sync_to_async(roll_back)()
    assert await socket.receive_nothing(timeout=0.5)
    assert not await Event.objects.aexists()
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_a_topic_of_another_user_is_refused() -> None:
    socket = open_socket("user.1")
    await socket.connect()
    assert await socket.receive_json_from() == {"error": "topic_refused", "topic": "user.1"}
    assert (await socket.receive_output())["code"] == 4403


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.django_db(transaction=True)
async def test_a_socket_falls_silent_with_its_session(ended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from asgiref.sync import sync_to_async

    monkeypatch.setattr(live, "RECHECK_S", 0.0)
    user = await sync_to_async(User.objects.create_user)("a@example.org")
    client = Client()
    await sync_to_async(client.force_login)(user)
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    topic = f"user.{user.pk}"
    socket = open_socket(topic, [*ORIGIN, (b"cookie", cookie.encode())])
    await socket.connect()
    assert await socket.receive_json_from() == {"ready": [topic]}
    if ended:
        await sync_to_async(client.logout)()
    await sync_to_async(events.publish)([topic], {"kind": "mail.sent"})
    if ended:
        assert await socket.receive_json_from(timeout=3) == {"error": "topic_refused", "topic": topic}
        assert (await socket.receive_output())["code"] == 4403
    else:
        assert (await socket.receive_json_from(timeout=3))["message"] == {"kind": "mail.sent"}
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_a_foreign_origin_is_refused() -> None:
    socket = open_socket("network", [(b"origin", b"http://evil.example"), (b"host", b"localhost")])
    connected, _ = await socket.connect()
    assert not connected


@pytest.mark.django_db
def test_who_may_read_what() -> None:
    user, admin = User.objects.create_user("a@example.org"), User.objects.create_user("b@example.org", is_staff=True)
    assert may_read(AnonymousUser(), "network")
    assert may_read(user, f"user.{user.pk}")
    assert not may_read(admin, f"user.{user.pk}")
    assert may_read(admin, "admin")
    assert not may_read(user, "admin")
    assert not may_read(admin, "nothing.at.all")
