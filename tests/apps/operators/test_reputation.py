"""Reputation: the table, the bounds and their effects, idempotence, decay, hours online, races."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core import parameters
from apps.core.models import Event, User
from apps.operators import deciding, enrolment, reputation, uptime
from apps.operators.errors import NodeMoveRefused, ReasonMissing
from apps.operators.models import Node, NodeEvent, NodeStatus, Notification, Operator, ReputationChange
from tests.apps.operators.test_enrolment import prepared
from workers.protocol.clock import utcnow

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def node(operator: Operator) -> Node:
    node = enrolment.enrol(prepared(operator), utcnow())
    for status in (NodeStatus.SELF_TEST, NodeStatus.ONLINE):
        node.move(status, "", "", utcnow())
    return node


def score(node: Node) -> float:
    node.refresh_from_db()
    return node.reputation + node.reputation_rest / 100


def set_score(node: Node, points: int) -> None:
    Node.objects.filter(pk=node.pk).update(reputation=points, reputation_rest=0)


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        ("success", 52),
        ("failed", 45),
        ("abandoned", 45),
        ("uptime", 51),
        ("shard_hosted", 51),
        ("shard_dropped", 40),
        ("vote", 51),
        ("violation", 30),
    ],
)
def test_each_kind_moves_the_score_by_the_tables_points_and_leaves_a_line(node: Node, kind: str, points: int) -> None:
    assert reputation.record(node.pk, kind, NOW, "why") == 100 * points
    assert score(node) == points
    [line] = ReputationChange.objects.all()
    assert (line.kind, line.score, line.change, line.detail, line.at) == (
        kind,
        100 * points,
        100 * (points - 50),
        "why",
        NOW,
    )


def test_what_is_not_in_the_table_is_refused(node: Node) -> None:
    for kind in ("decay", "reinstated", "charm"):
        with pytest.raises(ValueError, match=kind):
            reputation.record(node.pk, kind, NOW)
    assert reputation.record("node_unknown", "success", NOW) is None
    assert score(node) == 50


def test_a_key_counts_once_a_node(node: Node, other: Operator) -> None:
    second = enrolment.enrol(prepared(other), utcnow())
    for _ in range(3):
        reputation.record(node.pk, "uptime", NOW, key="uptime:x")
    reputation.record(second.pk, "uptime", NOW, key="uptime:x")
    assert (score(node), score(second)) == (51, 51)


def test_the_score_stays_within_its_bounds_and_full_work_leaves_no_line(node: Node) -> None:
    set_score(node, 99)
    reputation.record(node.pk, "success", NOW)
    assert score(node) == 100
    assert reputation.record(node.pk, "success", NOW) is None
    assert ReputationChange.objects.count() == 1
    for _ in range(30):
        reputation.record(node.pk, "failed", NOW)
    assert score(node) == 0
    assert ReputationChange.objects.latest("pk").score == 0


# Each example has a node of its own.
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["success", "failed", "uptime", "violation", "vote", "decay"]), max_size=40))
def test_the_score_is_the_sum_of_its_lines_whatever_happens(node_of: Callable[[], Node], kinds: list[str]) -> None:
    node, model = node_of(), 5000
    for n, kind in enumerate(kinds):
        if kind == "decay":
            reputation.decay(node.pk, f"day {n}", NOW)
            model = (model * 9900 + 5000) // 10_000
        else:
            reputation.record(node.pk, kind, NOW)
            model += 100 * {"success": 2, "failed": -5, "uptime": 1, "violation": -20, "vote": 1}[kind]
        model = max(0, min(10_000, model))
    node.refresh_from_db()
    assert node.reputation * 100 + node.reputation_rest == model
    assert 5000 + sum(ReputationChange.objects.filter(node=node).values_list("change", flat=True)) == model


@pytest.fixture
def node_of(operator: Operator) -> Callable[[], Node]:
    made = iter(range(1000))
    parameters.set_parameter("operators.max_nodes", 1000, actor=None, reason="test", now=NOW)
    parameters.forget_cached()
    return lambda: enrolment.enrol(prepared(operator, f"n{next(made)}"), utcnow())


def test_decay_multiplies_each_score_once_a_day(node: Node, other: Operator) -> None:
    second = enrolment.enrol(prepared(other), utcnow())
    set_score(second, 100)
    assert uptime.decay_all(NOW) == 2
    assert uptime.decay_all(NOW + timedelta(hours=8)) == 0
    assert (score(node), score(second)) == (49.5, 99)
    uptime.decay_all(NOW + timedelta(days=1))
    assert (score(node), score(second)) == (49.01, 98.01)


def history(node: Node, *moments: tuple[datetime, NodeStatus]) -> None:
    """The node's states as if they had been so."""
    NodeEvent.objects.filter(node=node).delete()
    old = NodeStatus.PENDING
    for at, status in moments:
        NodeEvent.objects.create(node=node, at=at, old=old, new=status, reason="x")
        old = status
    Node.objects.filter(pk=node.pk).update(
        status=old, status_at=moments[-1][0], enrolled_at=NOW - timedelta(days=9), reason="x"
    )


def at(hour: int, minute: int = 0) -> datetime:
    return NOW.replace(hour=hour, minute=minute)


def test_an_hour_counts_for_who_was_online_through_nearly_all_of_it(node: Node) -> None:
    history(node, (at(9, 50), NodeStatus.ONLINE), (at(11, 55), NodeStatus.OFFLINE), (at(12, 10), NodeStatus.ONLINE))
    assert uptime.online_seconds(at(9), at(10)) == {node.pk: 600}
    assert uptime.online_seconds(at(11), at(12)) == {node.pk: 3300}
    assert uptime.credit_hours(NOW) == 2
    assert score(node) == 52
    keys = ReputationChange.objects.order_by("pk").values_list("key", "detail")
    assert list(keys) == [("uptime:2026-03-01T10", "10:00 UTC"), ("uptime:2026-03-01T11", "11:00 UTC")]


def test_a_beat_that_comes_again_or_late_counts_each_hour_once(node: Node) -> None:
    history(node, (at(6), NodeStatus.ONLINE))
    assert [uptime.credit_hours(NOW) for _ in range(3)] == [6, 0, 0]
    assert uptime.credit_hours(NOW + timedelta(hours=2)) == 2
    assert score(node) == 58


def test_a_day_has_as_many_hours_as_the_network_allows(node: Node) -> None:
    parameters.set_parameter("reputation.uptime_max_day", 4, actor=None, reason="test", now=NOW)
    parameters.forget_cached()
    history(node, (at(0) - timedelta(days=1), NodeStatus.ONLINE))
    assert uptime.credit_hours(NOW) == 4
    assert uptime.credit_hours(NOW) == 0
    assert uptime.credit_hours(at(3) + timedelta(days=1)) == 3
    parameters.forget_cached()


def test_nodes_that_were_revoked_or_never_online_get_no_hours(node: Node, other: Operator) -> None:
    enrolment.enrol(prepared(other), utcnow())
    history(node, (at(6), NodeStatus.ONLINE), (at(11), NodeStatus.REVOKED))
    assert uptime.credit_hours(NOW) == 0


def test_falling_below_a_bound_is_told_once_and_says_how_back(node: Node) -> None:
    set_score(node, 41)
    reputation.record(node.pk, "failed", NOW)
    reputation.record(node.pk, "success", NOW)
    reputation.record(node.pk, "success", NOW)
    reputation.record(node.pk, "failed", NOW)
    [mail] = Notification.objects.filter(kind="node_trust_lost")
    assert "36 of 100" in mail.body
    assert "Accepted results and hours online raise the score." in mail.body
    assert Event.objects.filter(kind="node.trust_lost", data__level="low").count() == 2
    set_score(node, 41)
    reputation.record(node.pk, "failed", NOW + timedelta(days=2))
    assert Notification.objects.filter(kind="node_trust_lost").count() == 2


def test_a_used_up_score_suspends_the_node_and_an_admin_lets_it_back(node: Node, admin: User) -> None:
    set_score(node, 3)
    reputation.record(node.pk, "failed", NOW)
    node.refresh_from_db()
    assert (node.status, node.reason) == (NodeStatus.SUSPENDED, reputation.SUSPENDED)
    assert node.next_step
    with pytest.raises(ReasonMissing):
        deciding.reinstate(node, actor=admin, reason=" ", now=NOW)
    assert deciding.reinstate(node, actor=admin, reason="New power supply.", now=NOW)
    assert (score(node), node.status) == (20, NodeStatus.OFFLINE)
    last = ReputationChange.objects.latest("pk")
    assert (last.kind, last.detail) == ("reinstated", "New power supply.")
    with pytest.raises(NodeMoveRefused):
        deciding.reinstate(node, actor=admin, reason="Again.", now=NOW)
    assert Event.objects.get(kind="node.reinstated").actor == admin


@pytest.mark.django_db(transaction=True)
def test_changes_at_one_moment_are_all_counted(operator: Operator) -> None:
    node = enrolment.enrol(prepared(operator), utcnow())

    def move(n: int) -> None:
        try:
            reputation.record(node.pk, "success" if n % 4 else "failed", NOW, key="same" if n < 4 else None)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(move, range(24)))
    changes = list(ReputationChange.objects.order_by("pk").values_list("change", "score"))
    assert score(node) == 50 + sum(change for change, _ in changes) / 100
    assert len(changes) == 21


def test_the_page_shows_score_effect_table_and_history(client: Client, node: Node, other: Operator) -> None:
    client.force_login(node.operator.user)
    address = f"/nodes/{node.pk}/reputation"
    assert "No changes yet" in client.get(address).content.decode()
    set_score(node, 41)
    reputation.record(node.pk, "failed", NOW, "tsk_1: timeout")
    page = client.get(address).content.decode()
    for words in ("36", "below 40", "It gets work after nodes with a better score.", "tsk_1: timeout", "-5"):
        assert words in page
    assert "No match" in client.get(f"{address}?kind=vote").content.decode()
    assert "tsk_1" in client.get(f"{address}?kind=failed&page=99").content.decode()
    client.force_login(other.user)
    assert client.get(address).status_code == 404
    client.logout()
    assert client.get(address).status_code == 302
