"""Mail about nodes that stay away: one when the grace is over, one when they are back, whatever sweeps repeat."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections

from apps.operators import enrolment, node_mail
from apps.operators.models import Node, NodeStatus, Notification, Operator
from tests.apps.operators.test_enrolment import prepared
from workers.protocol.clock import utcnow


@pytest.fixture
def node(operator: Operator) -> Node:
    node = enrolment.enrol(prepared(operator), utcnow())
    for status, reason in ((NodeStatus.SELF_TEST, ""), (NodeStatus.ONLINE, ""), (NodeStatus.OFFLINE, "Silent.")):
        node.move(status, reason, "Start it.", utcnow())
    return node


def kinds() -> list[str]:
    rows = Notification.objects.filter(kind__startswith="node_").exclude(kind="node_registered")
    return list(rows.order_by("pk").values_list("kind", flat=True))


def test_an_outage_is_told_once_after_the_grace_and_once_when_it_is_over(node: Node) -> None:
    now = utcnow()
    assert node_mail.sweep(now + timedelta(minutes=14)) == (0, 0)
    late = now + timedelta(minutes=16)
    assert [node_mail.sweep(late) for _ in range(3)] == [(1, 0), (0, 0), (0, 0)]
    mail = Notification.objects.get(kind="node_offline")
    assert "Silent." in mail.body
    assert "Start it." in mail.body
    node.move(NodeStatus.ONLINE, "", "", late)
    assert [node_mail.sweep(late) for _ in range(3)] == [(0, 1), (0, 0), (0, 0)]
    assert kinds() == ["node_offline", "node_back"]
    node.move(NodeStatus.OFFLINE, "Silent.", "Start it.", late)
    node_mail.sweep(late + timedelta(minutes=16))
    assert kinds() == ["node_offline", "node_back", "node_offline"]


def test_a_short_absence_is_not_told(node: Node) -> None:
    now = utcnow()
    node.move(NodeStatus.ONLINE, "", "", now + timedelta(minutes=5))
    assert node_mail.sweep(now + timedelta(hours=5)) == (0, 0)
    assert kinds() == []


def test_a_node_that_falters_while_it_is_away_is_told_of_once(node: Node) -> None:
    now = utcnow() + timedelta(hours=1)
    node_mail.sweep(now)
    node.move(NodeStatus.SELF_TEST, "", "", now)
    node_mail.sweep(now)
    node.move(NodeStatus.OFFLINE, "Silent.", "Start it.", now)
    node_mail.sweep(now + timedelta(hours=1))
    assert kinds() == ["node_offline"]


def test_nodes_that_ended_are_not_told_of(node: Node) -> None:
    node.move(NodeStatus.REVOKED, "Sold.", "", utcnow())
    assert node_mail.sweep(utcnow() + timedelta(days=1)) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_tell_once(node: Node) -> None:
    late = utcnow() + timedelta(hours=1)

    def sweep(_: int) -> tuple[int, int]:
        try:
            return node_mail.sweep(late)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(sweep, range(4)))[-1] == (1, 0)
    assert kinds() == ["node_offline"]
