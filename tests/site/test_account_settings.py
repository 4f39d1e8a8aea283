"""An account's settings: who may see and end what, what is asked again, and whether every page is one of ours."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.core import mail
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from apps.core.models import User
from apps.operators import account_deletion, account_sessions
from tests.site.account_cast import (
    LOGIN,
    PASSWORD,
    SETTINGS,
    ada,
    ask_for_code,
    clean,
    code_of,
    enter,
    is_in,
    reset_link,
)
from workers.protocol.clock import utcnow

__all__ = ["ada", "clean"]
pytestmark = pytest.mark.django_db


def test_a_session_of_somebody_else_cannot_be_ended(client: Client, ada: User) -> None:
    client.post("/accounts/login/", LOGIN)
    bert = User.objects.create_user("bert@example.org", PASSWORD)
    stranger = Client()
    stranger.force_login(bert)
    row = UserSession.objects.get(user=ada)
    stranger.post(f"/account/sessions/{row.pk}/end")
    assert is_in(client)
    assert not account_sessions.end(bert, row.pk)


def test_when_a_session_was_seen_costs_no_query(client: Client, ada: User) -> None:
    client.post("/accounts/login/", LOGIN)
    row = UserSession.objects.get()
    UserSession.objects.update(last_seen_at=utcnow() - timedelta(hours=3))
    client.get("/account", REMOTE_ADDR="192.0.2.7")
    [seat] = account_sessions.seats(ada, row.session_key)
    assert (seat.address, seat.current) == ("192.0.2.7", True)
    assert utcnow() - seat.seen_at < timedelta(minutes=1)


def test_a_request_without_an_address_is_answered(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.get("/account", REMOTE_ADDR="").status_code == 200


def test_sensitive_pages_ask_again_and_others_do_not(client: Client, ada: User) -> None:
    client.post("/accounts/login/", LOGIN)
    for path in ("/account/delete", "/account/data/ready", "/accounts/2fa/totp/activate/"):
        assert client.get(path)["Location"].startswith("/accounts/reauthenticate/?next=")
    assert client.post("/account/data/export")["Location"].startswith("/accounts/reauthenticate/")
    asked = client.post("/account/email", {"email": "new@example.org"})
    assert asked["Location"].startswith("/accounts/reauthenticate/")
    assert mail.outbox == []
    for path in SETTINGS:
        assert client.get(path).status_code == 200


def test_a_wrong_password_does_not_pass_for_the_person(client: Client, ada: User) -> None:
    client.post("/accounts/login/", LOGIN)
    client.post("/accounts/reauthenticate/?next=/account/delete", {"password": "wrong", "next": "/account/delete"})
    assert client.get("/account/delete").status_code == 302


def test_who_has_neither_password_nor_factor_signs_in_afresh(client: Client, ada: User) -> None:
    ada.set_unusable_password()
    ada.save()
    ask_for_code(client, ada.email)
    enter(client, code_of(mail.outbox[-1]))
    assert client.get("/account/delete").status_code == 200
    session = client.session
    session["account_authentication_methods"] = [
        {**record, "at": record["at"] - 301} for record in session["account_authentication_methods"]
    ]
    session.save()
    refused = client.get("/account/delete")
    assert refused.status_code == 403
    assert "fresh sign-in" in refused.content.decode()


def test_an_account_without_an_address_has_all_its_pages(client: Client) -> None:
    nobody = User.objects.create_user(None, name="Wallet 12ab")
    client.force_login(nobody)
    session = client.session
    session["account_authentication_methods"] = [{"method": "wallet", "at": time.time()}]
    session["account_authentication_methods_user"] = str(nobody.pk)
    session.save()
    for path in (*SETTINGS, "/account/delete", "/accounts/2fa/totp/activate/", "/accounts/2fa/webauthn/add/"):
        assert client.get(path).status_code == 200, path
    client.post("/account/email", {"email": "walter@example.org"})
    client.post("/account/email/code", {"code": code_of(mail.outbox[-1])})
    nobody.refresh_from_db()
    assert nobody.email == "walter@example.org"
    assert [message.to for message in mail.outbox] == [["walter@example.org"]]


def test_a_deleted_person_comes_in_by_no_door(client: Client, ada: User) -> None:
    link = reset_link(client, ada.email)
    ask_for_code(client, ada.email)
    code = code_of(mail.outbox[-1])
    inside = Client()
    inside.post("/accounts/login/", LOGIN)
    account_deletion.delete(ada, utcnow())
    enter(client, code)
    assert not is_in(client)
    assert not is_in(inside)
    assert not UserSession.objects.exists()
    assert "This link has had its day" in Client().get(link, follow=True).content.decode()
    ask_for_code(Client(), "ada@example.org")
    assert "no account" in str(mail.outbox[-1].body) or "do not have any record" in str(mail.outbox[-1].body)


@pytest.mark.parametrize("path", [*SETTINGS, "/account/delete"])
def test_a_visitor_is_asked_to_sign_in(client: Client, path: str) -> None:
    assert client.get(path)["Location"].startswith("/accounts/login/?next=")


@pytest.mark.parametrize("path", ["/account/email/code", "/account/data/export", "/account/sessions/others/end"])
def test_what_changes_something_is_no_get(client: Client, ada: User, path: str) -> None:
    client.force_login(ada)
    assert client.get(path).status_code == 405


def allauth_addresses(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from allauth_addresses(pattern.url_patterns, route)
        elif route.startswith("accounts/"):
            yield f"/{route}"


def test_every_page_of_allauth_that_opens_is_in_the_houses_layout(client: Client, ada: User) -> None:
    found = list(allauth_addresses(get_resolver().url_patterns))
    assert len(found) > 25
    client.force_login(ada)
    for path in found:
        for who in (client, Client()):
            answer = who.get(re.sub(r"[\^$]|\(.*?\)+|<.*?>", "1", path), follow=True)
            text = answer.content.decode()
            plain = answer["Content-Type"].startswith(("text/plain", "application/json"))
            assert answer.status_code in {200, 400, 403, 404, 405}, path
            assert plain or answer.status_code == 405 or 'class="skip"' in text, path
            client.force_login(ada)
