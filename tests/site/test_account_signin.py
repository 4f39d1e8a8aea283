"""The doors of the site, tried with wrong, used, late and repeated things."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.core import mail
from django.db import connections
from django.test import Client
from django.utils.http import int_to_base36
from pytest_django.fixtures import Settings

from apps.core.models import User
from tests.site.account_cast import LOGIN, PASSWORD, ada, ask_for_code, clean, code_of, enter, is_in, reset_link
from workers.protocol.clock import utcnow

__all__ = ["ada", "clean"]
pytestmark = pytest.mark.django_db


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


def test_whether_an_address_has_an_account_is_seldom_told_to_one_who_signs_up(
    client: Client, ada: User, settings: Settings
) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"signup": settings.SIGNUP_RATE}
    form = {"email": ada.email, "name": "Eve", "password1": PASSWORD, "password2": PASSWORD}
    answers = [client.post("/accounts/signup/", form).status_code for _ in range(6)]
    assert answers == [200] * 5 + [429]
    assert client.post("/accounts/signup/", {**form, "email": "new@example.org"}).status_code == 429
    assert User.objects.get() == ada


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
