"""The doors of the site, tried with wrong, used, late and repeated things."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from allauth.usersessions.models import UserSession
from django.core import mail
from django.core.cache import cache
from django.db import connections
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.http import int_to_base36
from pytest_django.fixtures import Settings

from apps.core import platform_keys
from apps.core.models import User
from apps.operators import account_deletion, account_sessions
from workers.protocol.clock import utcnow

PASSWORD = "correct horse battery"
SETTINGS = ("/account", "/account/email", "/account/security", "/account/sessions", "/account/data")
LOGIN = {"login": "ada@example.org", "password": PASSWORD}


@pytest.fixture(autouse=True)
def clean(db: None, settings: Settings) -> Iterator[None]:
    settings.ACCOUNT_RATE_LIMITS = {}
    cache.clear()
    platform_keys.create(utcnow())
    yield
    cache.clear()


@pytest.fixture
def ada() -> User:
    user = User.objects.create_user("ada@example.org", PASSWORD, name="Ada")
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


def is_in(client: Client) -> bool:
    return client.get("/account").status_code == 200


def code_of(message: Any) -> str:
    match = re.search(r"^[A-Z0-9]{4}-[A-Z0-9]{4}$", str(message.body), re.MULTILINE)
    assert match, message.body
    return match[0]


def ask_for_code(client: Client, email: str) -> Any:
    return client.post("/accounts/login/code/", {"email": email}, follow=True)


def enter(client: Client, code: str) -> Any:
    return client.post("/accounts/login/code/confirm/", {"code": code}, follow=True)


def test_a_mailed_code_signs_in_once(client: Client, ada: User) -> None:
    ask_for_code(client, "Ada@Example.org")
    code = code_of(mail.outbox[-1])
    enter(client, code)
    assert is_in(client)
    client.post("/accounts/logout/")
    enter(client, code)
    assert not is_in(client)


def test_a_code_is_void_after_ten_minutes(client: Client, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_for_code(client, ada.email)
    late = time.time() + 601
    monkeypatch.setattr(time, "time", lambda: late)
    enter(client, code_of(mail.outbox[-1]))
    assert not is_in(client)


def test_a_code_is_void_after_three_wrong_ones(client: Client, ada: User) -> None:
    ask_for_code(client, ada.email)
    for _guess in range(3):
        enter(client, "WRNG-WRNG")
    enter(client, code_of(mail.outbox[-1]))
    assert not is_in(client)


def test_a_code_belongs_to_the_browser_that_asked(client: Client, ada: User) -> None:
    ask_for_code(client, ada.email)
    other = Client()
    ask_for_code(other, ada.email)
    first, second = (code_of(message) for message in mail.outbox[-2:])
    assert first != second
    enter(other, first)
    assert not is_in(other)


def test_known_and_unknown_addresses_look_the_same(client: Client, ada: User) -> None:
    for path in ("/accounts/login/code/", "/accounts/password/reset/"):
        pages = []
        for email in (ada.email, "nobody@example.org"):
            answer = Client().post(path, {"email": email}, follow=True)
            text = re.sub(r"csrfmiddlewaretoken\W+value=\W[\w]+|X-CSRFToken\W+\w+", "", answer.content.decode())
            pages.append((answer.redirect_chain, text.replace(email, "ADDRESS")))
        assert pages[0] == pages[1]
    assert [message.to[0] for message in mail.outbox] == [ada.email, "nobody@example.org"] * 2


def test_codes_for_one_mailbox_are_rationed(client: Client, ada: User) -> None:
    for _mail in range(5):
        ask_for_code(Client(), ada.email)
    assert len(mail.outbox) == 3


def test_a_second_factor_is_asked_after_a_code_too(client: Client, ada: User) -> None:
    TOTP.activate(ada, generate_totp_secret())
    ask_for_code(client, ada.email)
    answer = enter(client, code_of(mail.outbox[-1]))
    assert answer.redirect_chain[-1][0] == "/accounts/2fa/authenticate/"
    assert not is_in(client)


def test_guessing_a_password_is_slowed_and_the_right_one_is_refused_then(client: Client, ada: User) -> None:
    answers = [client.post("/accounts/login/", {**LOGIN, "password": f"guess {n}"}) for n in range(6)]
    assert "Too many failed login attempts" in answers[-1].content.decode()
    client.post("/accounts/login/", LOGIN)
    assert not is_in(client)


def test_the_page_of_too_many_attempts_is_one_of_ours(client: Client, ada: User) -> None:
    answers = [client.post("/accounts/login/", {}) for _ in range(31)]
    assert answers[-1].status_code == 429
    assert "Wait a few minutes" in answers[-1].content.decode()


def with_totp(client: Client, user: User) -> str:
    """The secret, once the password was given."""
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    assert client.post("/accounts/login/", LOGIN)["Location"].startswith("/accounts/2fa/authenticate/")
    return secret


def digits(secret: str, moment: float | None = None) -> str:
    return format_hotp_value(hotp_value(secret, int(moment or time.time()) // 30))


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> float:
    """Time that does not pass, so that no half minute ends in a test."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    return now


def test_the_digits_of_an_app_sign_in_once(client: Client, ada: User, still: float) -> None:
    secret = with_totp(client, ada)
    client.post("/accounts/2fa/authenticate/", {"code": digits(secret)})
    assert is_in(client)
    again = Client()
    again.post("/accounts/login/", LOGIN)
    answer = again.post("/accounts/2fa/authenticate/", {"code": digits(secret)})
    assert "Incorrect code" in answer.content.decode()
    assert not is_in(again)


@pytest.mark.parametrize("shift", [-30, 30, 3600])
def test_digits_of_another_half_minute_are_refused(client: Client, ada: User, still: float, shift: int) -> None:
    secret = with_totp(client, ada)
    client.post("/accounts/2fa/authenticate/", {"code": digits(secret, still + shift)})
    assert not is_in(client)


def test_guessing_digits_is_slowed(client: Client, ada: User, still: float) -> None:
    secret = with_totp(client, ada)
    for _guess in range(5):
        client.post("/accounts/2fa/authenticate/", {"code": "000000"})
    answer = client.post("/accounts/2fa/authenticate/", {"code": digits(secret)})
    assert "Too many failed login attempts" in answer.content.decode()
    assert not is_in(client)


def test_the_digits_that_activated_an_app_do_not_open_a_session(client: Client, ada: User, still: float) -> None:
    client.post("/accounts/login/", LOGIN)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    client.get("/accounts/2fa/totp/activate/")
    code = digits(client.session["mfa.totp.secret"])
    assert client.post("/accounts/2fa/totp/activate/", {"code": code}).status_code == 302
    assert Authenticator.objects.filter(type="totp").exists()
    again = Client()
    again.post("/accounts/login/", LOGIN)
    again.post("/accounts/2fa/authenticate/", {"code": code})
    assert not is_in(again)


@pytest.mark.django_db(transaction=True)
def test_of_two_sign_ins_with_the_same_digits_at_once_one_gets_in(ada: User, still: float) -> None:
    secret = generate_totp_secret()
    TOTP.activate(ada, secret)
    clients = [Client(), Client()]
    for client in clients:
        client.post("/accounts/login/", LOGIN)

    def run(client: Client) -> bool:
        try:
            client.post("/accounts/2fa/authenticate/", {"code": digits(secret)})
            return is_in(client)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(run, clients)) == [False, True]


@pytest.mark.django_db(transaction=True)
def test_of_two_sign_ins_with_one_recovery_code_at_once_one_gets_in(ada: User) -> None:
    TOTP.activate(ada, generate_totp_secret())
    code = RecoveryCodes.activate(ada).get_unused_codes()[0]
    clients = [Client(), Client()]
    for client in clients:
        client.post("/accounts/login/", LOGIN)

    def run(client: Client) -> bool:
        try:
            client.post("/accounts/2fa/authenticate/", {"code": code})
            return is_in(client)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(run, clients)) == [False, True]


def test_secrets_of_second_factors_are_encrypted_at_rest(ada: User) -> None:
    secret = generate_totp_secret()
    row = TOTP.activate(ada, secret).instance
    assert secret not in str(row.data)
    assert row.data["secret"].startswith("sealed:")
    seed = RecoveryCodes.activate(ada).instance.data["seed"]
    assert seed.startswith("sealed:")


def test_second_factors_need_a_confirmed_address(client: Client, ada: User) -> None:
    EmailAddress.objects.update(verified=False)
    client.force_login(ada)
    for path in ("/accounts/2fa/totp/activate/", "/accounts/2fa/webauthn/add/"):
        answer = client.get(path, follow=True)
        assert "Your e-mail address is not confirmed" in answer.content.decode()


def reset_link(client: Client, email: str) -> str:
    client.post("/accounts/password/reset/", {"email": email})
    match = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", str(mail.outbox[-1].body))
    assert match
    return match[1]


NEW = {"password1": "battery staple horse", "password2": "battery staple horse"}


def test_a_reset_link_sets_a_password_once_and_ends_every_session(client: Client, ada: User) -> None:
    client.post("/accounts/login/", LOGIN)
    fresh = Client()
    link = reset_link(fresh, ada.email)
    form = fresh.get(link, follow=True).redirect_chain[-1][0]
    assert fresh.post(form, NEW, follow=True).redirect_chain[-1][0] == "/accounts/password/reset/key/done/"
    assert not is_in(client)
    assert not is_in(fresh)
    assert "This link has had its day" in Client().get(link, follow=True).content.decode()
    client.post("/accounts/login/", {**LOGIN, "password": NEW["password1"]})
    assert is_in(client)


def test_a_reset_link_ends_after_an_hour(client: Client, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    link = reset_link(client, ada.email)
    generator = "django.contrib.auth.tokens.PasswordResetTokenGenerator._now"
    monkeypatch.setattr(generator, lambda _self: utcnow().replace(tzinfo=None) + timedelta(hours=26))
    assert "This link has had its day" in Client().get(link, follow=True).content.decode()


def test_a_reset_link_of_somebody_else_fits_nobody(client: Client, ada: User) -> None:
    other = User.objects.create_user("bert@example.org", PASSWORD)
    link = reset_link(client, ada.email).replace(f"/{int_to_base36(ada.pk)}-", f"/{int_to_base36(other.pk)}-")
    assert "This link has had its day" in Client().get(link, follow=True).content.decode()


def test_a_reset_leaves_the_second_factor_in_place(client: Client, ada: User) -> None:
    TOTP.activate(ada, generate_totp_secret())
    form = client.get(reset_link(client, ada.email), follow=True).redirect_chain[-1][0]
    client.post(form, NEW)
    client.post("/accounts/login/", {**LOGIN, "password": NEW["password1"]})
    assert not is_in(client)


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
