"""`mesh login`, wallets and the faucet over the API."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

from apps.core import parameters
from apps.core.models import User
from apps.ledger import accounts
from apps.operators import errors, wallets
from apps.operators.authentication import make_key, user_of_key
from apps.operators.models import ApiKey, Scope, Wallet
from workers.protocol.canonical import dumps
from workers.protocol.clock import utcnow
from workers.protocol.keys import SigningKey, b64

GOOD = {"email": "anna@example.org", "password": "long-enough-1", "name": "host"}


@pytest.fixture(autouse=True)
def fresh_counters() -> None:
    cache.clear()


def log_in(client: Client, **changes: str) -> tuple[int, dict[str, Any]]:
    answer = client.post("/api/v1/auth/login", {**GOOD, **changes}, content_type="application/json")
    return answer.status_code, answer.json()


def test_a_login_makes_a_key_named_after_the_host(client: Client, applicant: User) -> None:
    status, made = log_in(client, email="Anna@Example.org")
    assert (status, made["user"]) == (201, applicant.email)
    row = ApiKey.objects.get()
    assert (row.name, row.prefix, row.is_login) == ("host", made["prefix"], True)
    assert set(row.scopes) == {"jobs:read", "jobs:write", "wallet:write"}
    assert user_of_key(made["key"], utcnow()) == applicant


def test_a_login_ends_after_ninety_days_and_is_renewed_by_another(client: Client, applicant: User) -> None:
    status, made = log_in(client)
    row = ApiKey.objects.get()
    assert status == 201
    assert row.expires_at is not None
    assert (row.expires_at - row.created_at).days == parameters.get("operators.login_key_days") == 90
    assert datetime.fromisoformat(made["expires_at"]) == row.expires_at
    ApiKey.objects.update(expires_at=utcnow())
    refused = client.get("/api/v1/me", headers={"Authorization": f"Bearer {made['key']}"})
    assert (refused.status_code, refused.json()["code"]) == (401, "login_expired")
    assert "Run `mesh login` again" in refused.json()["detail"]
    again = log_in(client)[1]["key"]
    assert client.get("/api/v1/me", headers={"Authorization": f"Bearer {again}"}).status_code == 200


def test_the_network_decides_how_long_a_login_is_good(client: Client, applicant: User) -> None:
    parameters.set_parameter("operators.login_key_days", 7, actor=None, reason="A vote.", now=utcnow())
    parameters.forget_cached()
    log_in(client)
    parameters.forget_cached()
    row = ApiKey.objects.get()
    assert row.expires_at is not None
    assert (row.expires_at - row.created_at).days == 7


def test_a_login_does_not_report_for_programs(client: Client, applicant: User) -> None:
    headers = {"Authorization": f"Bearer {log_in(client)[1]['key']}"}
    refused = client.post("/api/v1/scans", {}, content_type="application/json", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


def test_the_page_of_keys_shows_logins_with_their_end_and_last_use(client: Client, applicant: User) -> None:
    key = log_in(client)[1]["key"]
    client.force_login(applicant)
    page = client.get("/keys").content.decode()
    assert "(command line)" in page
    assert "never" in page
    assert "no end" not in page.split("<form")[0]
    client.get("/api/v1/me", headers={"Authorization": f"Bearer {key}"})
    assert "never" not in client.get("/keys").content.decode()
    ApiKey.objects.update(expires_at=utcnow())
    assert "<code>mesh login</code>" in client.get("/keys").content.decode()


@pytest.mark.parametrize("change", [{"password": "wrong"}, {"email": "nobody@example.org"}])
def test_a_wrong_password_and_an_unknown_address_look_the_same(
    client: Client, applicant: User, change: dict[str, str]
) -> None:
    status, refused = log_in(client, **change)
    assert (status, refused["code"]) == (401, "login_refused")
    assert not ApiKey.objects.exists()


def test_a_closed_account_gets_no_key_and_its_keys_end(client: Client, applicant: User) -> None:
    text = make_key(applicant, "old", [Scope.JOBS_READ], utcnow())[1]
    User.objects.update(is_active=False)
    assert log_in(client)[1]["code"] == "login_refused"
    assert user_of_key(text, utcnow()) is None
    assert client.get("/api/v1/me", headers={"Authorization": f"Bearer {text}"}).status_code == 401


def test_an_account_with_a_second_factor_makes_keys_on_the_page(client: Client, applicant: User) -> None:
    TOTP.activate(applicant, generate_totp_secret())
    status, refused = log_in(client)
    assert (status, refused["code"]) == (403, "second_factor_needed")
    assert not ApiKey.objects.exists()


def test_guessing_is_slowed_at_one_account_and_from_one_address(client: Client, applicant: User) -> None:
    codes = [log_in(client, password=f"guess-{n}")[1]["code"] for n in range(12)]
    assert codes == ["login_refused"] * 10 + ["too_many_attempts"] * 2
    answer = client.post("/api/v1/auth/login", GOOD, content_type="application/json")
    assert (answer.status_code, answer["Retry-After"]) == (429, "60")
    spread = [log_in(client, email=f"p{n}@example.org")[1]["code"] for n in range(60)]
    assert spread[-1] == "too_many_attempts"
    assert spread[0] == "login_refused"


def test_guesses_are_counted_by_the_network_they_come_from_behind_a_proxy(
    client: Client, applicant: User, settings: Settings
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1

    def guess(address: str) -> str:
        # The first part is whatever the sender says.
        headers = {"X-Forwarded-For": f"9.9.9.9, {address}"}
        answer = client.post(
            "/api/v1/auth/login", {**GOOD, "password": "guess"}, content_type="application/json", headers=headers
        )
        return str(answer.json()["code"])

    assert [guess(f"2001:db8::{n:x}") for n in range(11)] == ["login_refused"] * 10 + ["too_many_attempts"]
    assert guess("2001:db8:0:1::1") == "login_refused"


def test_guessing_at_one_account_is_slowed_from_wherever_it_comes(
    client: Client, applicant: User, settings: Settings
) -> None:
    settings.ACCOUNT_RATE_LIMITS = {}
    User.objects.create_user("bert@example.org", GOOD["password"])

    def guess(n: int, **changes: str) -> tuple[int, str]:
        answer = client.post(
            "/api/v1/auth/login", {**GOOD, **changes}, content_type="application/json", REMOTE_ADDR=f"10.0.{n}.1"
        )
        return answer.status_code, answer.json().get("code", "")

    # Right ones count for nothing.
    assert {guess(n)[0] for n in range(7)} == {201}
    assert {guess(n, password=f"guess-{n}")[1] for n in range(5)} == {"login_refused"}
    assert guess(6) == (429, "too_many_attempts")
    assert guess(7, email="Anna@Example.org") == (429, "too_many_attempts")
    assert guess(8, email="bert@example.org")[0] == 201
    page = client.post("/accounts/login/", {"login": GOOD["email"], "password": GOOD["password"]})
    assert b"Too many failed login attempts" in page.content


def test_a_key_says_when_it_was_last_used_without_a_write_each_time(client: Client, applicant: User) -> None:
    text = make_key(applicant, "k", [Scope.JOBS_READ], utcnow())[1]
    now = utcnow()
    assert user_of_key(text, now) == applicant
    assert user_of_key(text, now + timedelta(seconds=30)) == applicant
    assert ApiKey.objects.get().last_used_at == now
    user_of_key(text, now + timedelta(seconds=90))
    assert ApiKey.objects.get().last_used_at == now + timedelta(seconds=90)


def test_a_wallets_proof_expires_and_binds_every_word(applicant: User) -> None:
    key, now = SigningKey.generate(), utcnow()
    message = wallets.challenge(applicant, now)

    def bind(message: dict[str, Any], at: timedelta = timedelta(0), signed: dict[str, Any] | None = None) -> Wallet:
        proof = b64(key.sign(dumps(signed or message)))
        return wallets.bind(applicant, {"public": b64(key.public), "signature": proof, "message": message}, now + at)[0]

    for wrong in (
        {**message, "purpose": "wallet.transfer"},
        {**message, "extra": 1},
        {**message, "deadline": message["deadline"] + 10**9},
        {**message, "nonce": "0" * 32},
        {**message, "deadline": True},
    ):
        with pytest.raises(errors.WalletRefused):
            bind(wrong)
    with pytest.raises(errors.WalletRefused):
        bind(message, timedelta(minutes=11))
    with pytest.raises(errors.WalletRefused):
        bind(message, signed={**message, "user": 0})
    assert not Wallet.objects.exists()
    assert bind(message).user == applicant
    assert accounts.balance(applicant) == 10 * 10**8


def test_the_faucet_pays_to_accounts_with_a_wallet_only(client: Client, applicant: User) -> None:
    client.force_login(applicant)
    body = {"reward": "wallet_connect"}
    refused = client.post("/api/v1/faucet/claim", body, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (409, "wallet_missing")
    assert client.post("/wallet").status_code == 302
    assert accounts.balance(applicant) == 0
