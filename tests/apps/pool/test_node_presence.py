"""A node's states follow from what is heard of it, and silence counts only where the platform itself was well."""

import json
from typing import Any

import pytest
from django.db import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from apps.core.models import User
from apps.operators import nodes
from apps.operators.models import Node, NodeEvent, NodeStatus
from apps.pool import broker, dispatch, node_states, presence, self_tests, submission
from apps.pool.dispatcher import Dispatcher
from apps.pool.models import Attempt, Task, TaskStatus
from tests.apps.pool import cast
from tests.apps.pool.presence_cast import (
    at,
    beat,
    begin,
    close,
    fresh,
    gateway_lives,
    give,
    hello,
    rounds,
    seasoned,
    start,
)
from workers.protocol.clock import unix_ms

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def services(platform_redis: Redis, nodes_broker: Redis) -> None:
    """Both empty, and a test that begins now."""
    begin()


@pytest.fixture
def dispatcher() -> Dispatcher:
    """One that has been well for a long time, so that silence counts."""
    return seasoned()


def test_heartbeats_are_written_together_however_many_they_are(
    dispatcher: Dispatcher, embedder: Any, django_assert_num_queries: Any
) -> None:
    machines = [cast.machine(f"m{n}") for n in range(6)]
    for machine in machines:
        beat(machine, start(), load=55)
    with django_assert_num_queries(2):  # the update, and how many tasks wait
        dispatcher.flush(start())
    assert {fresh(m).load for m in machines} == {55}
    assert all(m.node.last_seen_at > at(-1) for m in machines)


def test_an_older_heartbeat_never_replaces_a_newer_one(dispatcher: Dispatcher, ada: cast.Machine) -> None:
    beat(ada, at(5), load=50)
    beat(ada, at(1), load=10)
    dispatcher.flush(at(6))
    beat(ada, at(2), load=20)
    dispatcher.flush(at(7))
    assert fresh(ada).load == 50


def test_a_kill_in_the_middle_of_a_flush_loses_no_heartbeat(dispatcher: Dispatcher, ada: cast.Machine) -> None:
    beat(ada, start(), load=33)
    assert presence.take_heartbeats()
    beat(ada, at(1), load=44)
    seasoned().flush(at(2))
    assert fresh(ada).load == 33
    seasoned().flush(at(4))
    assert fresh(ada).load == 44


def test_a_first_heartbeat_starts_the_self_test_and_passing_it_brings_the_node_online(
    dispatcher: Dispatcher, embedder: Any
) -> None:
    new = cast.machine("new", status=NodeStatus.PENDING)
    beat(new, start())
    rounds(dispatcher, 1)
    assert fresh(new).status == NodeStatus.SELF_TEST
    (task,) = Task.objects.filter(node=new.node)
    assignment = dispatch.assignment_of(task)
    assert broker.waiting(new.node.pk, cast.LANE), "the known answer is asked over the broker"
    new.start(assignment, at(2))
    assert new.answer(assignment, at(2)) == "completed"
    assert fresh(new).status == NodeStatus.ONLINE
    assert new.node.self_test_passed_at is not None


def test_a_node_in_self_test_gets_nobodys_work(dispatcher: Dispatcher, embedder: Any, rita: User) -> None:
    online, new = cast.machine("online"), cast.machine("new", status=NodeStatus.PENDING)
    self_tests.start(new.node, start())
    submission.submit(rita, cast.embed("a", "b", "c", "d", "e", "f", chunk_size=1), start())
    dispatch.Post().hand_out(start())
    assert Task.objects.filter(node=new.node, job__requester=rita).count() == 0
    assert Task.objects.filter(node=online.node, job__requester=rita).count() == 2


def test_missed_heartbeats_make_a_node_degraded_then_offline_and_free_its_work(
    dispatcher: Dispatcher, ada: cast.Machine, rita: User
) -> None:
    beat(ada, start())
    rounds(dispatcher, 0)
    task = give(ada, rita)
    rounds(dispatcher, 59)
    assert fresh(ada).status == NodeStatus.ONLINE
    rounds(dispatcher, 61)
    assert fresh(ada).status == NodeStatus.DEGRADED
    assert ada.node.reason == node_states.MISSED
    assert ada.node.next_step
    rounds(dispatcher, 121)
    assert fresh(ada).status == NodeStatus.OFFLINE
    assert ada.node.reason == node_states.SILENT
    assert ada.node.next_step
    assert Task.objects.get(pk=task.task_id).status == TaskStatus.PENDING
    assert broker.waiting(ada.node.pk, cast.LANE) == []
    assert list(NodeEvent.objects.filter(node=ada.node).order_by("id").values_list("new", flat=True)) == [
        "degraded",
        "offline",
    ]


@pytest.mark.parametrize("status", [NodeStatus.DEGRADED, NodeStatus.OFFLINE])
def test_a_node_that_passed_its_test_comes_back_by_being_heard(
    dispatcher: Dispatcher, ada: cast.Machine, status: NodeStatus
) -> None:
    ada.node.move(status, node_states.MISSED, "Wait.", start(), self_test_passed_at=start())
    beat(ada, at(1))
    rounds(dispatcher, 2)
    assert fresh(ada).status == NodeStatus.ONLINE
    assert ada.node.reason == ""


def test_a_node_that_never_passed_its_test_comes_back_to_it(dispatcher: Dispatcher, ada: cast.Machine) -> None:
    ada.node.move(NodeStatus.OFFLINE, node_states.SILENT, "Wait.", start(), self_test_passed_at=None)
    beat(ada, at(1))
    rounds(dispatcher, 2)
    assert fresh(ada).status == NodeStatus.SELF_TEST


def test_a_node_that_failed_its_test_is_tested_again_when_it_connects_not_when_it_beats(
    dispatcher: Dispatcher, ada: cast.Machine, platform_redis: Redis
) -> None:
    ada.node.move(NodeStatus.DEGRADED, "Its self-test failed.", "See the doctor.", start(), self_test_passed_at=None)
    beat(ada, at(1))
    rounds(dispatcher, 2)
    assert fresh(ada).status == NodeStatus.DEGRADED
    hello(platform_redis, ada, at(3))
    rounds(dispatcher, 4)
    assert fresh(ada).status == NodeStatus.SELF_TEST


@pytest.mark.parametrize("status", [NodeStatus.SUSPENDED, NodeStatus.REVOKED])
def test_a_node_that_was_put_out_does_not_come_back_by_itself(
    dispatcher: Dispatcher, ada: cast.Machine, platform_redis: Redis, status: NodeStatus
) -> None:
    ada.node.move(status, "It cheated.", "Ask.", start(), self_test_passed_at=start())
    beat(ada, at(1))
    hello(platform_redis, ada, at(1))
    rounds(dispatcher, 2)
    assert fresh(ada).status == status


def test_silence_says_nothing_after_the_dispatchers_own_start(ada: cast.Machine, rita: User) -> None:
    Node.objects.update(last_seen_at=at(-500))
    task = give(ada, rita, at(-400))
    Task.objects.update(lease_expires_at=at(-100))
    new = Dispatcher(start(), is_heard=lambda: True)
    rounds(new, 0, 10, 59)
    assert fresh(ada).status == NodeStatus.ONLINE
    assert Task.objects.get(pk=task.task_id).status == TaskStatus.CLAIMED
    rounds(new, 61)
    assert fresh(ada).status == NodeStatus.OFFLINE
    assert Task.objects.get(pk=task.task_id).status == TaskStatus.PENDING


def test_silence_says_nothing_while_nodes_cannot_be_heard(ada: cast.Machine) -> None:
    Node.objects.update(last_seen_at=start())
    heard: list[bool] = []
    deaf = seasoned(is_heard=lambda: bool(heard))
    rounds(deaf, 0, 61, 121, 200)
    heard.append(True)
    rounds(deaf, 201, 258)
    assert fresh(ada).status == NodeStatus.ONLINE
    rounds(deaf, 262)
    assert fresh(ada).status == NodeStatus.OFFLINE


def test_silence_says_nothing_after_a_gap_of_the_dispatchers_own(dispatcher: Dispatcher, ada: cast.Machine) -> None:
    Node.objects.update(last_seen_at=start())
    dispatcher.last_round = at(1)
    dispatcher.round(at(300))
    assert fresh(ada).status == NodeStatus.ONLINE


def test_a_closed_socket_takes_work_back_after_the_grace(
    dispatcher: Dispatcher, ada: cast.Machine, bert: cast.Machine, rita: User, platform_redis: Redis
) -> None:
    Node.objects.update(connected=True, last_seen_at=start())
    bert.node.move(NodeStatus.OFFLINE, "Off.", "On.", start())
    task = give(ada, rita)
    close(platform_redis, ada, at(1))
    gateway_lives(platform_redis, at(1.6))
    rounds(dispatcher, 2)
    assert fresh(ada).status == NodeStatus.DEGRADED
    assert ada.node.reason == node_states.CLOSED
    assert ada.node.connected is False
    assert Task.objects.get(pk=task.task_id).status == TaskStatus.CLAIMED
    gateway_lives(platform_redis, at(3.1))
    rounds(dispatcher, 3.2)
    assert Task.objects.get(pk=task.task_id).status == TaskStatus.PENDING
    assert broker.waiting(ada.node.pk, cast.LANE) == []
    assert not platform_redis.exists(presence.CLOSED)
    assert Attempt.objects.get(task=task.task_id).detail


def test_a_reconnection_within_the_grace_keeps_the_work(
    dispatcher: Dispatcher, ada: cast.Machine, rita: User, platform_redis: Redis
) -> None:
    Node.objects.update(connected=True, last_seen_at=start(), self_test_passed_at=start())
    task = give(ada, rita)
    close(platform_redis, ada, at(1))
    gateway_lives(platform_redis, at(1.6))
    rounds(dispatcher, 2)
    assert fresh(ada).status == NodeStatus.DEGRADED
    hello(platform_redis, ada, at(2.5))
    gateway_lives(platform_redis, at(9))
    rounds(dispatcher, 3, 9)
    assert fresh(ada).status == NodeStatus.ONLINE
    assert ada.node.connected is True
    assert ada.node.disconnected_at is None
    assert Task.objects.get(pk=task.task_id).status == TaskStatus.CLAIMED
    assert not platform_redis.exists(presence.OPENED)


def test_a_gateway_that_ends_takes_no_work_away(
    dispatcher: Dispatcher, ada: cast.Machine, rita: User, platform_redis: Redis
) -> None:
    Node.objects.update(connected=True, last_seen_at=start())
    task = give(ada, rita)
    gateway_lives(platform_redis, at(0.9))
    close(platform_redis, ada, at(1))
    rounds(dispatcher, 2, 4, 7)
    assert fresh(ada).status == NodeStatus.ONLINE
    assert Task.objects.get(pk=task.task_id).status == TaskStatus.CLAIMED
    assert not platform_redis.exists(presence.CLOSED)


def test_a_gateway_that_ends_within_the_grace_takes_no_work_away(
    dispatcher: Dispatcher, ada: cast.Machine, rita: User, platform_redis: Redis
) -> None:
    Node.objects.update(connected=True, last_seen_at=start(), self_test_passed_at=start())
    task = give(ada, rita)
    close(platform_redis, ada, at(1))
    gateway_lives(platform_redis, at(1.6))
    rounds(dispatcher, 2, 4, 8)
    assert Task.objects.get(pk=task.task_id).status == TaskStatus.CLAIMED
    beat(ada, at(9))
    rounds(dispatcher, 10)
    assert fresh(ada).status == NodeStatus.ONLINE


def test_a_heartbeat_from_before_the_close_does_not_bring_a_node_back(
    dispatcher: Dispatcher, ada: cast.Machine, platform_redis: Redis
) -> None:
    Node.objects.update(connected=True, self_test_passed_at=start())
    close(platform_redis, ada, at(1))
    gateway_lives(platform_redis, at(1.6))
    rounds(dispatcher, 2)
    beat(ada, at(0.5))
    rounds(dispatcher, 3)
    assert fresh(ada).status == NodeStatus.DEGRADED


def test_a_node_drains_by_its_own_word_and_is_offline_once_it_stops(
    dispatcher: Dispatcher, ada: cast.Machine, platform_redis: Redis
) -> None:
    Node.objects.update(connected=True, self_test_passed_at=start())
    beat(ada, at(1), draining=True)
    rounds(dispatcher, 2)
    assert fresh(ada).status == NodeStatus.DRAINING
    assert ada.node.reason == node_states.DRAINED_ITSELF
    beat(ada, at(3))
    rounds(dispatcher, 4)
    assert fresh(ada).status == NodeStatus.ONLINE
    beat(ada, at(5), draining=True)
    close(platform_redis, ada, at(5.5))
    gateway_lives(platform_redis, at(8))
    rounds(dispatcher, 8)
    assert fresh(ada).status == NodeStatus.OFFLINE
    assert ada.node.reason == node_states.STOPPED


def test_an_operators_drain_outlasts_heartbeats_and_reconnections(
    dispatcher: Dispatcher, ada: cast.Machine, platform_redis: Redis, rita: User
) -> None:
    submission.submit(rita, cast.embed("a", chunk_size=1), start())
    nodes.drain(ada.node, now=start())
    beat(ada, at(1))
    hello(platform_redis, ada, at(1))
    rounds(dispatcher, 2)
    assert fresh(ada).status == NodeStatus.DRAINING
    assert not Task.objects.held().exists()


def test_a_clock_that_is_off_is_a_degraded_state_until_it_is_right(dispatcher: Dispatcher, ada: cast.Machine) -> None:
    Node.objects.update(self_test_passed_at=start())
    beat(ada, at(40), sent_at=unix_ms(start()))
    rounds(dispatcher, 41)
    assert fresh(ada).status == NodeStatus.DEGRADED
    assert ada.node.reason == node_states.CLOCK
    assert ada.node.clock_offset_ms == -40_000
    beat(ada, at(42))
    rounds(dispatcher, 43)
    assert fresh(ada).status == NodeStatus.ONLINE


def test_a_revoked_node_loses_its_account_and_its_work(
    dispatcher: Dispatcher, ada: cast.Machine, bert: cast.Machine, rita: User, nodes_broker: Redis
) -> None:
    secret = broker.new_secret()
    Node.objects.filter(pk=ada.node.pk).update(broker_sha256=broker.digest_of(secret))
    broker.open_account(ada.node.pk, broker.digest_of(secret))
    bert.node.move(NodeStatus.OFFLINE, "Off.", "On.", start())
    task = give(ada, rita)
    nodes.revoke(fresh(ada), reason="It cheated.", now=at(1))
    rounds(dispatcher, 2)
    assert Task.objects.get(pk=task.task_id).status == TaskStatus.PENDING
    assert "off" in nodes_broker.acl_getuser(broker.username(ada.node.pk))["flags"]
    assert nodes_broker.keys("*") == []
    rounds(dispatcher, 20)
    assert "off" in nodes_broker.acl_getuser(broker.username(ada.node.pk))["flags"]


def test_a_suspended_nodes_work_goes_to_others(
    dispatcher: Dispatcher, ada: cast.Machine, bert: cast.Machine, rita: User
) -> None:
    bert.node.move(NodeStatus.OFFLINE, "Off.", "On.", start())
    task = give(ada, rita)
    ada.node.refresh_from_db()
    nodes.suspend(ada.node, reason="Under review.", now=at(1))
    bert.node.move(NodeStatus.ONLINE, "", "", at(1))
    rounds(dispatcher, 2)
    assert Task.objects.get(pk=task.task_id).node_id == bert.node.pk


def test_which_models_a_node_serves_follows_its_word(dispatcher: Dispatcher, ada: cast.Machine) -> None:
    beat(ada, at(1), models=["another"])
    rounds(dispatcher, 2)
    assert fresh(ada).served_models == ["another"]
    assert not ada.node.classes.filter(requires__model=cast.EMBEDDER).exists()


@pytest.mark.django_db(transaction=True)
def test_what_one_node_has_wrong_stops_nobody_else(
    dispatcher: Dispatcher, ada: cast.Machine, bert: cast.Machine, platform_redis: Redis
) -> None:
    platform_redis.hset(presence.OPENED, ada.node.pk, json.dumps({"at": 1, "models": ["\u0000"]}))
    hello(platform_redis, bert, at(1))
    beat(ada, at(1), running=["\u0000"])
    rounds(dispatcher, 2)
    assert fresh(bert).connected is True
    beat(bert, at(3), load=77)
    rounds(dispatcher, 4)
    assert fresh(bert).load == 77


def test_what_nobody_foresaw_of_one_node_stops_neither_the_others_nor_the_dispatcher(
    dispatcher: Dispatcher,
    ada: cast.Machine,
    bert: cast.Machine,
    platform_redis: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    Node.objects.filter(pk=ada.node.pk).update(probe={"memory_mb": "x"}, status=NodeStatus.PENDING)
    hello(platform_redis, ada, at(1))
    hello(platform_redis, bert, at(1))
    beat(ada, at(1))
    rounds(dispatcher, 2)
    assert fresh(bert).connected is True
    assert not platform_redis.exists(presence.OPENED), "nobody meets it again"
    assert "ValueError" in caplog.text


@pytest.mark.parametrize("outage", [OperationalError, RedisError, OSError])
def test_an_outage_is_no_nodes_fault_and_goes_on_to_the_caller(outage: type[Exception]) -> None:
    with pytest.raises(outage), node_states.for_itself("node_1"):
        raise outage
