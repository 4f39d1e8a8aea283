"""Who may see and do what; keys and wallets."""

import pytest
from django.test import Client

from apps.core.models import User
from apps.ledger import accounts
from apps.operators import enrolment
from apps.operators.authentication import make_key
from apps.operators.models import ApiKey, Node, NodeStatus, Operator, Wallet
from tests.apps.operators.conftest import sign_in
from tests.apps.operators.test_enrolment import prepared
from workers.protocol.canonical import dumps
from workers.protocol.clock import utcnow
from workers.protocol.keys import SigningKey, b64, fingerprint

PAGES = ["/apply", "/apply/live", "/apply/stages", "/nodes", "/nodes/live", "/keys", "/wallet", "/wallet/live"]


@pytest.mark.parametrize("page", [*PAGES, "/nodes/register", "/nodes/node_x", "/nodes/node_x/live"])
def test_visitors_are_sent_to_the_login(client: Client, page: str) -> None:
    answer = client.get(page)
    assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/accounts/login/")


@pytest.mark.parametrize("page", PAGES)
def test_anybody_signed_in_sees_their_own_pages(client: Client, applicant: User, page: str) -> None:
    client.force_login(applicant)
    assert client.get(page).status_code == 200


def test_a_nodes_page_is_its_operators_and_the_staffs(
    client: Client, operator: Operator, other: Operator, admin: User, applicant: User
) -> None:
    node = enrolment.enrol(prepared(operator), utcnow())
    seen = {}
    for user in (operator.user, admin, other.user, applicant):
        client.force_login(user)
        seen[user.email] = client.get(f"/nodes/{node.pk}").status_code
        revoke = client.post(f"/nodes/{node.pk}/revoke").status_code if user in (other.user, applicant) else 404
        assert revoke == 404
    assert list(seen.values()) == [200, 200, 404, 404]
    assert Node.objects.get().status == NodeStatus.PENDING
    client.force_login(operator.user)
    client.post(f"/nodes/{node.pk}/revoke")
    assert Node.objects.get().status == NodeStatus.PENDING
    client.post(f"/nodes/{node.pk}/revoke", {"name": node.name})
    assert Node.objects.get().status == NodeStatus.REVOKED


def test_the_register_page_shows_a_token_once(client: Client, operator: Operator, applicant: User) -> None:
    client.force_login(applicant)
    assert client.get("/nodes/register").status_code == 302
    client.force_login(operator.user)
    shown = client.post("/nodes/register", {"name": "fra-1"})
    token = shown.context["token"]
    assert token.encode() in shown.content
    assert token.encode() not in client.get("/nodes/register").content
    assert b"Waiting for the first heartbeat" in shown.content
    assert client.post("/nodes/register", {"name": "no spaces please"}).context["form"].errors


def test_a_key_is_shown_once_works_and_is_revoked(client: Client, applicant: User) -> None:
    client.force_login(applicant)
    page = client.post("/keys", {"name": "laptop", "scopes": ["jobs:read"]})
    text = page.context["made"]
    assert text.startswith("mk_")
    assert text.encode() not in client.get("/keys").content
    key = ApiKey.objects.get()
    assert text not in (key.hash, key.prefix)
    anonymous = Client()
    headers = {"Authorization": f"Bearer {text}"}
    assert anonymous.get("/api/v1/me", headers=headers).json()["email"] == applicant.email
    assert ApiKey.objects.get().last_used_at is not None
    client.post(f"/keys/{key.pk}/revoke")
    refused = anonymous.get("/api/v1/me", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "api_key_revoked")


def test_somebody_elses_key_cannot_be_revoked(client: Client, applicant: User, admin: User) -> None:
    key, _ = make_key(admin, "x", [], utcnow())
    client.force_login(applicant)
    assert client.post(f"/keys/{key.pk}/revoke").status_code == 404
    assert ApiKey.objects.get().revoked_at is None


def test_without_a_key_the_api_says_so(client: Client) -> None:
    answer = client.get("/api/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert answer["Content-Type"] == "application/problem+json"


def test_logging_in_makes_a_key_and_guessing_is_slowed(client: Client, applicant: User, platform_redis) -> None:
    good = {"email": "Anna@example.org", "password": "long-enough-1", "name": "host"}
    made = client.post("/api/v1/auth/login", good, content_type="application/json")
    assert made.status_code == 201
    assert made.json()["key"].startswith("mkl_")
    codes = [
        client.post("/api/v1/auth/login", {**good, "password": "x"}, content_type="application/json").json()["code"]
        for _ in range(11)
    ]
    assert codes[0] == "login_refused"
    assert codes[-1] == "too_many_attempts"


def bind(client: Client, key: SigningKey, message: dict) -> dict:
    body = {"public": b64(key.public), "signature": b64(key.sign(dumps(message))), "message": message}
    return client.post("/api/v1/wallets", body, content_type="application/json").json()


def test_a_first_wallet_claims_ten_once(client: Client, applicant: User, platform_redis) -> None:
    sign_in(client, applicant)
    key = SigningKey.generate()
    message = client.get("/api/v1/wallets/challenge").json()["message"]
    bound = bind(client, key, message)
    assert (bound["address"], bound["claimed"]) == (fingerprint(key.public), "10")
    assert accounts.balance(applicant) == 10 * 10**8
    assert bind(client, key, message)["code"] == "challenge_used"
    second = bind(client, SigningKey.generate(), client.get("/api/v1/wallets/challenge").json()["message"])
    assert second["claimed"] == "0"
    assert accounts.balance(applicant) == 10 * 10**8


def test_a_wallet_of_somebody_else_or_a_forged_proof_is_refused(
    client: Client, applicant: User, admin: User, platform_redis
) -> None:
    key = SigningKey.generate()
    sign_in(client, applicant)
    message = client.get("/api/v1/wallets/challenge").json()["message"]
    assert bind(client, key, {**message, "user": admin.pk})["code"] == "proof_foreign"
    assert bind(client, key, {**message, "net": "another"})["code"] == "proof_wrong_network"
    assert bind(client, key, message)["claimed"] == "10"
    sign_in(client, admin)
    theirs = client.get("/api/v1/wallets/challenge").json()["message"]
    assert bind(client, key, theirs)["code"] == "wallet_in_use"
    assert Wallet.objects.get().user == applicant
