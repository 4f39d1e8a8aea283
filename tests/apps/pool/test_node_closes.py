"""A close that the dispatcher cannot act on is tried a few times, then set aside, and holds nobody up."""

import json

import pytest
from redis import Redis

from apps.core.models import User
from apps.operators.models import Node, NodeStatus
from apps.pool import presence
from apps.pool.dispatcher import Dispatcher
from apps.pool.models import Task, TaskStatus
from tests.apps.pool import cast
from tests.apps.pool.presence_cast import at, begin, close, fresh, gateway_lives, give, rounds, seasoned, start

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def services(platform_redis: Redis, nodes_broker: Redis) -> None:
    """Both empty, and a test that begins now."""
    begin()


@pytest.fixture
def dispatcher() -> Dispatcher:
    """One that has been well for a long time."""
    return seasoned()


def test_a_close_that_cannot_be_acted_on_is_set_aside_after_some_tries_and_holds_nobody_up(
    dispatcher: Dispatcher,
    ada: cast.Machine,
    bert: cast.Machine,
    rita: User,
    platform_redis: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    Node.objects.update(connected=True, last_seen_at=start())
    ada.node.move(NodeStatus.OFFLINE, "Off.", "On.", start())
    task = give(bert, rita)
    # A moment that no calendar has.
    platform_redis.hset(presence.CLOSED, ada.node.pk, json.dumps({"gateway": "g1", "at": -(10**18)}))
    close(platform_redis, bert, at(1))
    gateway_lives(platform_redis, at(3.1))
    rounds(dispatcher, 3.2)
    assert Task.objects.get(pk=task.task_id).status == TaskStatus.PENDING
    assert platform_redis.hkeys(presence.CLOSED) == [ada.node.pk.encode()]
    rounds(dispatcher, 3.4, 3.6, 3.8)
    assert platform_redis.hexists(presence.CLOSED, ada.node.pk)
    rounds(dispatcher, 4, 4.2)
    assert not platform_redis.exists(presence.CLOSED)
    assert (dispatcher.closing, dispatcher.failed) == (False, {})
    [aside] = [record for record in caplog.records if record.message == "A closed socket was set aside"]
    assert (aside.__dict__["node"], aside.__dict__["tries"]) == (ada.node.pk, 5)


def test_a_newer_close_of_the_same_node_is_tried_from_the_beginning(
    dispatcher: Dispatcher, ada: cast.Machine, platform_redis: Redis
) -> None:
    Node.objects.update(connected=True, last_seen_at=start())
    for text, moments in ((-(10**18), (2, 3, 4, 5)), (-(10**17), (6, 7))):
        platform_redis.hset(presence.CLOSED, ada.node.pk, json.dumps({"gateway": "g1", "at": text}))
        gateway_lives(platform_redis, at(moments[0]))
        rounds(dispatcher, *moments)
        assert platform_redis.hexists(presence.CLOSED, ada.node.pk)
    close(platform_redis, ada, at(8))
    gateway_lives(platform_redis, at(11))
    rounds(dispatcher, 12)
    assert fresh(ada).connected is False
    assert dispatcher.failed == {}
