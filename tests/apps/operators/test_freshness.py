"""What opens an account for good is bound and removed by somebody who proved just now who they are."""

from typing import Any

import pytest
from django.test import Client
from eth_account import Account

from apps.core.models import User
from apps.operators import enrolment, ethereum, wallets
from apps.operators.authentication import make_key
from apps.operators.models import ApiKey, NodeBinding, Operator, Scope, Wallet
from tests.apps.operators.conftest import sign_in
from tests.apps.operators.test_enrolment import prepared
from tests.apps.operators.test_ethereum import signature
from tests.apps.operators.test_wallet_removal import bind, proof
from workers.protocol.clock import utcnow
from workers.protocol.keys import SigningKey

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("platform_redis")]
PASSWORD = "long-enough-1"
LATE = 301


def send_wallet(client: Client, user: User, **headers: Any) -> tuple[int, str]:
    body = proof(SigningKey.generate(), wallets.challenge(user, utcnow()))
    answer = client.post("/api/v1/wallets", body, "application/json", **headers)
    return answer.status_code, answer.json().get("code", "")


def test_a_session_left_open_binds_no_wallet_and_leaves_the_challenge_good(client: Client, applicant: User) -> None:
    sign_in(client, applicant, LATE)
    asked = client.get("/api/v1/wallets/challenge")
    assert (asked.status_code, asked.json()["code"]) == (403, "confirmation_needed")
    assert "Confirm it at /wallet/confirm" in asked.json()["detail"]
    body = proof(SigningKey.generate(), wallets.challenge(applicant, utcnow()))
    refused = client.post("/api/v1/wallets", body, "application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "confirmation_needed")
    assert not Wallet.objects.exists()
    sign_in(client, applicant)
    assert client.post("/api/v1/wallets", body, "application/json").status_code == 201


def test_the_password_again_is_proof_and_leads_back(client: Client, applicant: User) -> None:
    sign_in(client, applicant, LATE)
    asked = client.get("/wallet/confirm?next=/wallet")
    assert asked["Location"].startswith("/accounts/reauthenticate/?next=")
    wrong = {"password": "wrong-one-1", "next": "/wallet/confirm?next=/wallet"}
    client.post(asked["Location"], wrong)
    assert send_wallet(client, applicant) == (403, "confirmation_needed")
    back = client.post(asked["Location"], {**wrong, "password": PASSWORD}, follow=True)
    assert back.redirect_chain[-1][0] == "/wallet"
    assert send_wallet(client, applicant)[0] == 201


def test_who_has_just_signed_up_with_a_password_binds_without_it(client: Client) -> None:
    form = {"email": "new@example.org", "name": "New", "password1": PASSWORD, "password2": PASSWORD}
    assert client.post("/accounts/signup/", form).status_code == 302
    assert client.get("/api/v1/wallets/challenge").status_code == 200
    assert send_wallet(client, User.objects.get(email="new@example.org"))[0] == 201


def test_confirming_leads_to_no_other_site(client: Client, applicant: User) -> None:
    sign_in(client, applicant, LATE)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert client.get("/wallet/confirm?next=https://evil.example/")["Location"] == "/wallet"


def test_a_wallets_removal_waits_for_the_password_and_then_happens(client: Client, applicant: User) -> None:
    wallet = bind(applicant, SigningKey.generate())
    sign_in(client, applicant, LATE)
    asked = client.post(f"/wallet/{wallet.address}/remove")
    assert asked["Location"].startswith("/accounts/reauthenticate/?next=")
    assert wallets.addresses(applicant) == [wallet.address]
    client.post(asked["Location"], {"password": PASSWORD, "next": f"/wallet/{wallet.address}/remove"})
    assert wallets.addresses(applicant) == []


def test_a_nodes_address_is_bound_and_taken_away_freshly_only(client: Client, operator: Operator) -> None:
    node, key = enrolment.enrol(prepared(operator), utcnow()), Account.create()
    path = f"/api/v1/nodes/{node.pk}/binding"
    typed = ethereum.binding_challenge(operator.user, node, key.address, utcnow())
    body = {"nonce": typed["message"]["nonce"], "signature": signature(key, typed)}
    sign_in(client, operator.user, LATE)
    for refused in (
        client.post(f"{path}/challenge", {"address": key.address}, "application/json"),
        client.put(path, body, "application/json"),
    ):
        assert (refused.status_code, refused.json()["code"]) == (403, "confirmation_needed")
    sign_in(client, operator.user)
    assert client.put(path, body, "application/json").status_code == 200
    sign_in(client, operator.user, LATE)
    assert client.delete(path).json()["code"] == "confirmation_needed"
    assert client.post(f"/nodes/{node.pk}/ethereum")["Location"].startswith("/accounts/reauthenticate/")
    assert NodeBinding.objects.count() == 1


def test_an_account_with_its_wallet_alone_comes_in_again_by_it_and_is_not_locked_out(client: Client) -> None:
    key = SigningKey.generate()

    def enter() -> User:
        message = wallets.visitors_challenge(wallets.SIGN_IN, utcnow())
        body = {**proof(key, message), "next": "/wallet"}
        assert client.post("/api/v1/auth/wallet/session", body, "application/json").status_code == 200
        return Wallet.objects.select_related("user").get(public=body["public"]).user

    user = enter()
    assert send_wallet(client, user)[0] == 201
    session = client.session
    session["account_authentication_methods"] = [
        {**record, "at": record["at"] - LATE} for record in session["account_authentication_methods"]
    ]
    session.save()
    assert send_wallet(client, user) == (403, "sign_in_again")
    wallet = Wallet.objects.filter(user=user).exclude(removed_at=None).first() or user.wallets.first()
    assert client.post(f"/wallet/{wallet.address}/remove").status_code == 403
    assert b"Sign out, sign in again" in client.get("/wallet/confirm").content
    client.logout()
    assert enter() == user
    assert send_wallet(client, user)[0] == 201


def test_a_program_needs_its_scope_only_and_a_key_with_it_needs_the_proof(client: Client, applicant: User) -> None:
    text = make_key(applicant, "k", [Scope.WALLET_WRITE], utcnow())[1]
    assert send_wallet(Client(), applicant, headers={"Authorization": f"Bearer {text}"})[0] == 201
    sign_in(client, applicant, LATE)
    assert "made" in client.post("/keys", {"name": "reader", "scopes": ["jobs:read"], "days": "30"}).context
    asked = client.post("/keys", {"name": "keeper", "scopes": ["wallet:write"], "days": "30"})
    assert asked["Location"].startswith("/accounts/reauthenticate/?next=")
    assert not ApiKey.objects.filter(name="keeper").exists()
    shown = client.post(asked["Location"], {"password": PASSWORD, "next": "/keys"})
    assert ApiKey.objects.get(name="keeper").prefix in shown.content.decode()
