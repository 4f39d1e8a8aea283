"""Confirming and changing an address: a code, three tries, ten minutes, and no word about other accounts."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.sessions.backends.db import SessionStore
from django.core import mail
from django.core.cache import cache
from django.db import connections
from django.test import RequestFactory

from apps.core.models import Event, User
from apps.operators import account_email
from apps.operators.account_errors import AccountGone, EmailCodeExpired, EmailCodeSpent, EmailCodeWrong, EmailTaken
from apps.operators.errors import TooManyAttempts
from workers.protocol.clock import utcnow

NEW = "new@example.org"


@pytest.fixture(autouse=True)
def fresh_counters(rf: RequestFactory) -> Any:
    from allauth.core import context

    cache.clear()
    with context.request_context(rf.get("/")):
        yield


@pytest.fixture
def session(db: None) -> SessionStore:
    return SessionStore()


def code_of_newest_mail() -> str:
    match = re.search(r"^[A-Z]{4}-[A-Z]{4}$", str(mail.outbox[-1].body), re.MULTILINE)
    assert match
    return match[0]


def test_the_address_changes_when_the_code_comes_back(session: SessionStore, applicant: User) -> None:
    now = utcnow()
    account_email.begin(session, applicant, "New@Example.org", now)
    applicant.refresh_from_db()
    assert applicant.email == "anna@example.org"
    assert [sent.to for sent in mail.outbox] == [[NEW]]
    code = code_of_newest_mail().lower().replace("-", " ")
    assert account_email.confirm(session, applicant, code, now) == "anna@example.org"
    applicant.refresh_from_db()
    assert applicant.email == NEW
    assert [(row.email, row.verified, row.primary) for row in EmailAddress.objects.all()] == [(NEW, True, True)]
    assert Event.objects.get(kind="account.email_changed").data == {}


def test_a_code_works_once(session: SessionStore, applicant: User) -> None:
    now = utcnow()
    account_email.begin(session, applicant, NEW, now)
    code = code_of_newest_mail()
    account_email.confirm(session, applicant, code, now)
    with pytest.raises(EmailCodeExpired):
        account_email.confirm(session, applicant, code, now)


def test_a_code_expires_and_nothing_changes(session: SessionStore, applicant: User) -> None:
    now = utcnow()
    account_email.begin(session, applicant, NEW, now)
    later = now + account_email.LIFE + timedelta(seconds=1)
    assert account_email.pending(session, now) == NEW
    assert account_email.pending(session, later) is None
    with pytest.raises(EmailCodeExpired):
        account_email.confirm(session, applicant, code_of_newest_mail(), later)
    assert User.objects.get(pk=applicant.pk).email == "anna@example.org"


def test_the_third_wrong_code_voids_the_right_one(session: SessionStore, applicant: User) -> None:
    now = utcnow()
    account_email.begin(session, applicant, NEW, now)
    for refusal in (EmailCodeWrong, EmailCodeWrong, EmailCodeSpent):
        with pytest.raises(refusal):
            account_email.confirm(session, applicant, "AAAA-AAAA", now)
    with pytest.raises(EmailCodeExpired):
        account_email.confirm(session, applicant, code_of_newest_mail(), now)


def test_guesses_are_counted_whatever_the_session_remembers(session: SessionStore, applicant: User) -> None:
    now = utcnow()
    account_email.begin(session, applicant, NEW, now)
    state = dict(session[account_email.KEY])
    for _guess in range(account_email.GUESSES):
        session[account_email.KEY] = dict(state)
        with pytest.raises(EmailCodeWrong):
            account_email.confirm(session, applicant, "AAAA-AAAA", now)
    with pytest.raises(TooManyAttempts):
        account_email.confirm(session, applicant, code_of_newest_mail(), now)


def test_an_address_of_somebody_else_looks_the_same_to_who_asks_and_its_owner_is_told(
    session: SessionStore, applicant: User, admin: User
) -> None:
    now = utcnow()
    account_email.begin(session, applicant, admin.email.upper(), now)
    assert account_email.pending(session, now) == admin.email
    [sent] = mail.outbox
    assert (sent.to, "already" in sent.body) == ([admin.email], True)
    assert not re.search(r"[A-Z]{4}-[A-Z]{4}", str(sent.body))
    for guess in ("", "-", "AAAA-AAAA"):
        with pytest.raises((EmailCodeWrong, EmailCodeSpent)):
            account_email.confirm(session, applicant, guess, now)
    assert User.objects.get(pk=applicant.pk).email == "anna@example.org"


def test_one_account_and_one_mailbox_are_spared_floods(session: SessionStore, applicant: User, admin: User) -> None:
    now = utcnow()
    for _mail in range(account_email.ASKED_FOR_ONE):
        account_email.begin(session, applicant, NEW, now)
    with pytest.raises(TooManyAttempts):
        account_email.begin(session, admin, NEW, now)
    for number in range(account_email.ASKED_BY_ONE - account_email.ASKED_FOR_ONE):
        account_email.begin(session, applicant, f"n{number}@example.org", now)
    with pytest.raises(TooManyAttempts):
        account_email.begin(session, applicant, "last@example.org", now)


def test_an_unconfirmed_address_is_confirmed_by_the_same_code(session: SessionStore, applicant: User) -> None:
    now = utcnow()
    EmailAddress.objects.create(user=applicant, email=applicant.email, verified=False, primary=True)
    assert not account_email.is_confirmed(applicant)
    account_email.begin(session, applicant, applicant.email, now)
    account_email.confirm(session, applicant, code_of_newest_mail(), now)
    assert account_email.is_confirmed(applicant)
    assert Event.objects.filter(kind="account.email_confirmed").count() == 1


def test_a_deleted_account_changes_nothing(applicant: User) -> None:
    User.objects.update(is_active=False)
    with pytest.raises(AccountGone):
        account_email.change(applicant, NEW, utcnow())


@pytest.mark.django_db(transaction=True)
def test_of_two_accounts_that_change_to_one_address_at_once_one_gets_it(applicant: User, admin: User) -> None:
    def change(user: User) -> Callable[[], str]:
        def run() -> str:
            try:
                account_email.change(user, NEW, utcnow())
            except EmailTaken as error:
                return error.code
            finally:
                connections.close_all()
            return "changed"

        return run

    with ThreadPoolExecutor(2) as pool:
        answers = [future.result() for future in [pool.submit(change(user)) for user in (applicant, admin)]]
    assert sorted(answers) == ["changed", "email_taken"]
    assert User.objects.filter(email=NEW).count() == 1
