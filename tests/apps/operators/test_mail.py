"""Mail: written with the change, sent after it, once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core import mail as django_mail
from django.db import connections
from pytest_django.fixtures import Settings
from redis import Redis

from apps.core.models import User
from apps.operators import applications, enrolment, tasks
from apps.operators.errors import ApplicationClosed
from apps.operators.models import Notification, Operator
from tests.apps.operators.conftest import DATA
from tests.apps.operators.test_enrolment import prepared
from workers.protocol.clock import utcnow


def test_every_step_writes_a_mail(applicant: User, admin: User) -> None:
    application = applications.submit(applicant, DATA, utcnow())
    applications.reject(application, admin, "Too little memory.", utcnow(), criterion="hardware")
    applications.approve(applications.submit(applicant, DATA, utcnow()), admin, utcnow())
    rows = Notification.objects.filter(user=applicant).order_by("pk")
    assert [row.kind for row in rows] == [
        "application_received",
        "application_rejected",
        "application_received",
        "application_approved",
    ]
    assert "Too little memory." in rows[1].body
    assert "/nodes/register" in rows[3].body


def test_an_enrolment_tells_its_operator(operator: Operator) -> None:
    node = enrolment.enrol(prepared(operator), utcnow())
    row = Notification.objects.get(kind="node_registered")
    assert (row.user, node.pk in row.body) == (operator.user, True)


def test_the_sweep_sends_what_nobody_sent_and_only_once(applicant: User) -> None:
    applications.submit(applicant, DATA, utcnow())
    tasks.sweep_notifications()
    tasks.sweep_notifications()
    [sent] = django_mail.outbox
    assert sent.to == [applicant.email]
    assert sent.subject == "[Meshwork] We have your application"
    assert Notification.objects.get().sent_at is not None


def test_a_mail_server_that_is_away_is_tried_again_later(applicant: User, settings: Settings) -> None:
    applications.submit(applicant, DATA, utcnow())
    row, now = Notification.objects.get(), utcnow()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_PORT = 1
    assert not tasks.deliver(row.pk, now)
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert not tasks.deliver(row.pk, now + timedelta(seconds=5))
    assert tasks.deliver(row.pk, now + timedelta(minutes=3))
    assert len(django_mail.outbox) == 1


def test_a_change_that_is_refused_sends_nothing(applicant: User) -> None:
    applications.submit(applicant, DATA, utcnow())
    with pytest.raises(ApplicationClosed):
        applications.submit(applicant, DATA, utcnow())
    assert Notification.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_workers_send_one_mail(applicant: User) -> None:
    applications.submit(applicant, DATA, utcnow())
    row, now = Notification.objects.get(), utcnow()

    def send(_: int) -> bool:
        try:
            return tasks.deliver(row.pk, now)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(send, range(4))) == [False, False, False, True]
    assert len(django_mail.outbox) == 1


@pytest.mark.django_db(transaction=True)
def test_a_commit_hints_the_mail_queue(applicant: User, platform_redis: Redis) -> None:
    applications.submit(applicant, DATA, utcnow())
    assert platform_redis.llen("platform:mail") == 1
