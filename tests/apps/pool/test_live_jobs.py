"""A job's live topic: its requester hears of each step as it happens, nobody else does."""

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from redis import Redis

from apps.core.live import may_read
from apps.core.models import User
from apps.models.models import ModelVersion
from apps.pool import hints, submission
from apps.pool.models import Job
from meshwork.asgi import application
from tests.apps.pool import cast
from tests.apps.pool.cast import NOW, Machine, embed, user


@pytest.mark.django_db
def test_a_jobs_topic_is_its_requesters_and_the_staffs(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("a"), NOW)
    topic = f"job.{job.pk}"
    assert may_read(rita, topic)
    assert may_read(user("admin", is_staff=True), topic)
    assert not may_read(user("mallory"), topic)
    assert not may_read(AnonymousUser(), topic)
    assert not may_read(rita, "job.job_unknown")


@pytest.mark.django_db(transaction=True)
async def test_a_requester_hears_each_step(platform_redis: Redis) -> None:
    assert get_channel_layer() is not None

    def submit() -> tuple[Job, Machine, str]:
        cast.publish()
        node, rita = cast.machine("ada"), cast.requester("rita")
        client = Client()
        client.force_login(rita)
        return submission.submit(rita, embed("a"), NOW), node, client.cookies["sessionid"].value

    job, node, session = await sync_to_async(submit)()
    headers = [(b"origin", b"http://localhost"), (b"host", b"localhost"), (b"cookie", f"sessionid={session}".encode())]
    socket = WebsocketCommunicator(application, f"/ws/live?topics=job.{job.pk}", headers=headers)
    await socket.connect()
    assert await socket.receive_json_from(timeout=5) == {"ready": [f"job.{job.pk}"]}
    await sync_to_async(node.work)()
    heard = [(await socket.receive_json_from(timeout=5))["message"]["kind"] for _ in range(4)]
    assert heard == ["task.claimed", "task.started", "task.completed", "job.updated"]
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
def test_the_dispatcher_is_woken_once_a_job_is_committed(
    rita: User, embedder: ModelVersion, platform_redis: Redis
) -> None:
    cast.machine("ada")
    listener = platform_redis.pubsub()
    listener.subscribe(hints.CHANNEL)
    assert listener.get_message(timeout=5)["type"] == "subscribe"  # type: ignore[index]
    submission.submit(rita, embed("a"), NOW)
    assert listener.get_message(timeout=5)["data"] == b"1"  # type: ignore[index]
    listener.close()
