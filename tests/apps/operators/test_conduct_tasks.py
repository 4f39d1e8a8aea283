"""What the clock does about conduct: each entry of beat is a task that exists, and each task can come again."""

from datetime import timedelta

import pytest
from django.conf import settings

from apps.core.models import User
from apps.operators import bans, conduct_tasks, enrolment
from apps.operators.models import Ban, Node, NodeStatus, Notification, Operator, ReputationChange
from meshwork.celery import app
from tests.apps.operators.test_enrolment import prepared
from workers.protocol.clock import utcnow


def test_every_entry_of_beat_is_a_task_that_workers_know() -> None:
    app.loader.import_default_modules()
    wanted = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert wanted <= set(app.tasks)


@pytest.fixture
def node(operator: Operator) -> Node:
    """Enrolled long ago and online since."""
    made = enrolment.enrol(prepared(operator), utcnow())
    since = utcnow() - timedelta(hours=9)
    for status in (NodeStatus.SELF_TEST, NodeStatus.ONLINE):
        made.move(status, "", "", since)
    Node.objects.filter(pk=made.pk).update(enrolled_at=since)
    made.events.update(at=since)
    return made


def test_the_tasks_do_their_work_once(node: Node, admin: User) -> None:
    now = utcnow()
    made = bans.make(bans.Order(user=node.operator.user, reason="x", evidence="x"), admin, now)
    Ban.objects.filter(pk=made.pk).update(at=now - timedelta(hours=2), ends_at=now - timedelta(hours=1))
    for _ in range(2):
        conduct_tasks.credit_uptime()
        conduct_tasks.decay_reputation()
        conduct_tasks.sweep_bans()
        conduct_tasks.mail_of_nodes()
    kinds = list(ReputationChange.objects.values_list("kind", flat=True))
    assert (kinds.count("uptime"), kinds.count("decay")) == (6, 1)
    node.refresh_from_db()
    assert node.status == NodeStatus.OFFLINE
    assert Notification.objects.filter(kind="ban_lifted").count() == 1
    Node.objects.filter(pk=node.pk).update(status_at=now - timedelta(hours=1))
    conduct_tasks.mail_of_nodes()
    conduct_tasks.mail_of_nodes()
    assert Notification.objects.filter(kind="node_offline").count() == 1
