"""What owners keep their machines from: set on the page, sent to the node, obeyed by it, shown with its reason."""

from typing import Any

import pytest
from redis import Redis

from apps.core.models import Event, User
from apps.models import catalog
from apps.operators import limits, nodes
from apps.operators.models import Node, NodeStatus
from apps.operators.node_errors import LimitsInvalid, NodeEnded
from apps.pool import classes, node_states, self_tests
from apps.pool.dispatcher import Dispatcher
from apps.pool.models import NodeClass, Purpose, Task
from apps.pool.node_api.keys import directory
from tests.apps.pool import cast
from tests.apps.pool.node_link import Speaker
from tests.apps.pool.presence_cast import at, beat, begin, fresh, rounds, seasoned, start
from workers.protocol.clock import unix_ms, utcnow

pytestmark = [pytest.mark.urls("meshwork.node_urls"), pytest.mark.django_db]
QUIET = {"quiet_hours": ["22:00-07:00"], "time_zone": "Europe/Berlin"}


@pytest.fixture(autouse=True)
def services(platform_redis: Redis, nodes_broker: Redis) -> None:
    begin()
    directory.forget()


@pytest.fixture
def dispatcher() -> Dispatcher:
    return seasoned()


@pytest.fixture
def tested(ada: cast.Machine) -> cast.Machine:
    """Ada's node, which has passed its self-test."""
    Node.objects.filter(pk=ada.node.pk).update(self_test_passed_at=at(-100))
    return ada


def owner(machine: cast.Machine) -> User:
    return machine.node.operator.user


@pytest.mark.django_db(transaction=True)
def test_limits_go_out_with_the_next_heartbeat_and_are_in_the_log(ada: cast.Machine, client: Any) -> None:
    speaker = Speaker(ada, client)
    assert "limits" not in speaker.open(speaker.heartbeat()[1], "platform.heartbeat")
    limits.set_limits(ada.node, {**QUIET, "memory_cap_mb": 4000}, actor=owner(ada), now=utcnow())
    directory.forget()
    told = speaker.open(speaker.heartbeat()[1], "platform.heartbeat")["limits"]
    assert (told["quiet_hours"], told["memory_cap_mb"], told["at"] > 0) == (["22:00-07:00"], 4000, True)
    event = Event.objects.get(kind="node.limits_changed")
    assert event.data["limits"] == "quiet 22:00-07:00 Europe/Berlin; memory up to 4000 MiB"
    assert event.actor == owner(ada)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "wrong", [{"quiet_hours": ["late"]}, {"time_zone": "Mars/Base"}, {"memory_cap_mb": -1}, {"unheard_of": 1}]
)
def test_limits_that_cannot_be_kept_are_refused_and_change_nothing(ada: cast.Machine, wrong: dict[str, Any]) -> None:
    with pytest.raises(LimitsInvalid):
        limits.set_limits(ada.node, wrong, actor=owner(ada), now=utcnow())
    assert Node.objects.get().limits == {}
    assert not Event.objects.filter(kind="node.limits_changed").exists()


@pytest.mark.django_db(transaction=True)
def test_a_node_that_has_ended_takes_no_limits(ada: cast.Machine) -> None:
    nodes.suspend(ada.node, reason="A fault.", now=utcnow())
    with pytest.raises(NodeEnded):
        limits.set_limits(ada.node, {"paused": True}, actor=owner(ada), now=utcnow())


@pytest.mark.parametrize("code", sorted(node_states.HELD))
def test_a_node_that_is_held_drains_with_that_reason_and_comes_back(
    dispatcher: Dispatcher, tested: cast.Machine, code: str
) -> None:
    beat(tested, at(1), draining=True, held=[code], held_until=unix_ms(at(3600)))
    dispatcher.flush(at(1))
    node = fresh(tested)
    reason, next_step = node_states.HELD[code]
    assert (node.status, node.reason) == (NodeStatus.DRAINING, reason)
    assert node.next_step.startswith(next_step)
    assert f"{at(3600):%H:%M} UTC" in node.next_step
    assert tested.take(1, at(2)) == []
    beat(tested, at(31))
    dispatcher.flush(at(31))
    assert fresh(tested).status == NodeStatus.ONLINE


def test_another_reason_is_shown_without_another_state(dispatcher: Dispatcher, tested: cast.Machine) -> None:
    for moment, code in ((1, "paused"), (31, "quiet_hours")):
        beat(tested, at(moment), draining=True, held=[code])
        dispatcher.flush(at(moment))
    node = fresh(tested)
    assert (node.status, node.reason) == (NodeStatus.DRAINING, node_states.HELD["quiet_hours"][0])
    assert [event.new for event in node.events.all()] == [NodeStatus.DRAINING]


def test_an_operators_drain_is_not_undone_by_the_end_of_quiet_hours(
    dispatcher: Dispatcher, tested: cast.Machine
) -> None:
    node_states.heard(fresh(tested), _heard(at(1), held=["quiet_hours"], draining=True), at(1))
    node = fresh(tested)
    node.move(NodeStatus.ONLINE, "", "", at(2))
    node.move(NodeStatus.DRAINING, nodes.DRAINED, "Resume it.", at(3))
    beat(tested, at(31))
    dispatcher.flush(at(31))
    assert (fresh(tested).status, fresh(tested).reason) == (NodeStatus.DRAINING, nodes.DRAINED)


def _heard(now: Any, **values: Any) -> Any:
    from apps.pool.presence import Heard

    ms = unix_ms(now)
    return Heard(**{"at": ms, "sent_at": ms, "load": 1, "slots": {}, "memory_free_mb": 1, **values})


def test_a_node_that_was_held_in_its_self_test_is_tested_afterwards(dispatcher: Dispatcher, ada: cast.Machine) -> None:
    Node.objects.filter(pk=ada.node.pk).update(status=NodeStatus.PENDING)
    self_tests.start(fresh(ada), at(0))
    beat(ada, at(1), draining=True, held=["quiet_hours"])
    dispatcher.flush(at(1))
    assert fresh(ada).status == NodeStatus.DRAINING
    assert ada.take(1, at(2)) == []
    beat(ada, at(31))
    dispatcher.flush(at(31))
    assert fresh(ada).status == NodeStatus.SELF_TEST
    assert ada.work(at(32)) == 1
    assert fresh(ada).status == NodeStatus.ONLINE


def test_a_held_node_that_stops_is_offline(dispatcher: Dispatcher, tested: cast.Machine) -> None:
    beat(tested, at(1), draining=True, held=["paused"])
    dispatcher.flush(at(1))
    node_states.gave_up(tested.node.pk, at(5))
    assert fresh(tested).status == NodeStatus.OFFLINE


@pytest.mark.parametrize("by", ["limits", "limits_reported"])
def test_a_memory_cap_keeps_models_away_that_do_not_fit(dispatcher: Dispatcher, tested: cast.Machine, by: str) -> None:
    served = NodeClass.objects.filter(node=tested.node)
    needs = [classes.for_version(version, "embed", at(0)) for version in catalog.active_versions()]
    classes.RequirementClass.objects.update(min_memory_mb=2000)
    classes.refresh_node(fresh(tested), at(0))
    assert served.count() == len(needs) > 0
    if by == "limits":
        Node.objects.filter(pk=tested.node.pk).update(limits={"memory_cap_mb": 1000})
        node_states.limited(tested.node.pk, {"memory_cap_mb": 1000}, at(1))
    else:
        beat(tested, at(1), limits={"memory_cap_mb": 1000})
        dispatcher.flush(at(1))
    assert served.count() == 0
    assert classes.refusal(fresh(tested), classes.RequirementClass.objects.get(pk=needs[0].pk)) == "memory"
    beat(tested, at(31), limits={"memory_cap_mb": 3000})
    Node.objects.filter(pk=tested.node.pk).update(limits={})
    dispatcher.flush(at(31))
    assert served.count() == len(needs)


def test_what_a_nodes_own_settings_say_is_kept(dispatcher: Dispatcher, tested: cast.Machine) -> None:
    beat(tested, at(1), limits=QUIET)
    dispatcher.flush(at(1))
    assert fresh(tested).limits_reported == QUIET


def test_a_node_that_failed_its_test_is_tested_again_after_a_while(dispatcher: Dispatcher, ada: cast.Machine) -> None:
    node = fresh(ada)
    node.move(NodeStatus.DEGRADED, "Its self-test failed.", "Look.", at(0), self_test_passed_at=None)
    beat(ada, at(595))
    rounds(dispatcher, 595)
    assert fresh(ada).status == NodeStatus.DEGRADED
    beat(ada, at(601))
    rounds(dispatcher, 601)
    assert fresh(ada).status == NodeStatus.SELF_TEST
    assert Task.objects.get(node=ada.node).job.purpose == Purpose.SELF_TEST


def test_a_node_that_is_silent_or_in_passing_trouble_is_not_tested_again(
    dispatcher: Dispatcher, ada: cast.Machine, bert: cast.Machine
) -> None:
    fresh(ada).move(NodeStatus.DEGRADED, "Its self-test failed.", "Look.", at(0), self_test_passed_at=None)
    fresh(bert).move(NodeStatus.DEGRADED, node_states.CLOCK, "Set it.", at(0))
    Node.objects.filter(pk=bert.node.pk).update(last_seen_at=at(700))
    node_states.sweep_degraded(at(701))
    assert (fresh(ada).status, fresh(bert).status) == (NodeStatus.DEGRADED, NodeStatus.DEGRADED)


def test_a_claim_over_http_is_forgotten_once_the_broker_is_heard_again(
    dispatcher: Dispatcher, tested: cast.Machine, client: Any
) -> None:
    speaker = Speaker(tested, client)
    assert speaker.post("task.claim", "/claim?wait=0", {"lane": cast.LANE, "max": 1})[0] == 200
    assert fresh(tested).transport == Node.Transport.HTTP
    beat(tested, at(1), transport="http")
    dispatcher.flush(at(1))
    assert fresh(tested).transport == Node.Transport.HTTP
    beat(tested, at(31), transport="celery")
    dispatcher.flush(at(31))
    assert fresh(tested).transport == Node.Transport.CELERY
    assert start() < at(31)


@pytest.mark.django_db(transaction=True)
def test_a_suspended_node_gets_nothing_and_its_word_is_refused(tested: cast.Machine, rita: User, client: Any) -> None:
    from apps.pool import submission

    speaker = Speaker(tested, client)
    submission.submit(rita, cast.embed("a", "b", chunk_size=1), utcnow())
    [task] = tested.take(1, utcnow())
    nodes.suspend(fresh(tested), reason="A fault.", now=utcnow())
    directory.forget()
    this = {"task": task.task_id, "attempt": task.attempt}
    answers = [
        speaker.post("task.claim", "/claim?wait=0", {"lane": cast.LANE, "max": 1}),
        speaker.post("task.started", f"/tasks/{task.task_id}/started", this),
        speaker.post("task.handback", "/handback", {**this, "reason": "x"}),
        speaker.send(f"/results/{task.task_id}", speaker.result(task)),
    ]
    assert [(status, answer["code"]) for status, answer in answers] == [(403, "node_suspended")] * 4
    assert tested.take(1, utcnow()) == []
    assert speaker.open(speaker.heartbeat()[1], "platform.heartbeat")["drain"] is True


@pytest.mark.parametrize(
    "odd", [{"transport": "\x00"}, {"limits": {"time_zone": "\x00"}}, {"limits": {"quiet_hours": ["\x00"]}}]
)
def test_what_cannot_be_a_setting_is_not_kept_and_silences_nobody(
    dispatcher: Dispatcher, tested: cast.Machine, bert: cast.Machine, client: Any, odd: dict[str, Any]
) -> None:
    assert Speaker(bert, client).heartbeat(load=71)[0] == 200
    assert Speaker(tested, client).heartbeat(load=72, **odd)[0] == 200
    dispatcher.flush(utcnow())
    assert (fresh(bert).load, fresh(tested).load) == (71, 72)
    assert (fresh(tested).limits_reported, fresh(tested).transport) == ({}, Node.Transport.CELERY)


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_that_cannot_be_kept_costs_itself_only(
    dispatcher: Dispatcher, tested: cast.Machine, bert: cast.Machine
) -> None:
    beat(tested, at(1), load=72, limits={"time_zone": "\x00"})
    beat(bert, at(1), load=71)
    dispatcher.flush(at(1))
    assert fresh(bert).load == 71
    assert fresh(tested).load == 0


@pytest.mark.parametrize(
    "odd",
    [
        {"draining": True, "held": ["paused"], "held_until": 2**53 - 1},
        {"limits": {"paused": True, "paused_until": 2**53 - 1}},
    ],
)
def test_a_hold_until_no_date_is_refused_at_the_edge(
    dispatcher: Dispatcher, tested: cast.Machine, client: Any, odd: dict[str, Any]
) -> None:
    status, problem = Speaker(tested, client).heartbeat(**odd)
    assert (status, problem["code"]) == (400, "unknown_field")
    dispatcher.flush(utcnow())
    assert fresh(tested).status == NodeStatus.ONLINE


@pytest.mark.parametrize("wrong", [2**53 - 1, 4_102_444_800_001])
def test_an_owners_pause_ends_at_a_date(wrong: int) -> None:
    with pytest.raises(LimitsInvalid):
        limits.read({"paused": True, "paused_until": wrong})
