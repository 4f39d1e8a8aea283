"""A wallet is a way in: each refusal has its code and changes nothing, whoever comes twice at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.core.cache import cache
from django.db import connections
from django.test import Client

from apps.core import parameters
from apps.core.models import User
from apps.ledger import accounts
from apps.operators import applications, bans, sybil, wallets
from apps.operators import wallet_errors as errors
from apps.operators.account_errors import AccountGone
from apps.operators.errors import AddressBanned, WalletRefused
from apps.operators.models import ApiKey, Notification, Wallet
from apps.operators.sybil_errors import TooManyAccounts
from tests.apps.operators.conftest import DATA
from workers.protocol.canonical import dumps
from workers.protocol.clock import utcnow
from workers.protocol.keys import SigningKey, b64, fingerprint

TEN = 10 * 10**8
ELSEWHERE = "203.0.113.7"


@pytest.fixture(autouse=True)
def forgotten(platform_redis: object) -> None:
    """Nothing is counted or challenged yet."""


def signed(key: SigningKey, message: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"public": b64(key.public), "signature": b64(key.sign(dumps(message))), "message": message, **more}


def fresh(key: SigningKey, purpose: str = wallets.SIGN_IN) -> dict[str, Any]:
    return signed(key, wallets.visitors_challenge(purpose, utcnow()))


def enter(data: dict[str, Any], address: str = "127.0.0.1") -> wallets.Entry:
    return wallets.enter(data, wallets.SIGN_IN, utcnow(), address=address)


def post(client: Client, path: str, body: dict[str, Any]) -> Any:
    return client.post(f"/api/v1/auth/{path}", body, content_type="application/json")


def come_in(client: Client, key: SigningKey, **more: Any) -> Any:
    message = post(client, "wallet/challenge", {"purpose": wallets.SIGN_IN}).json()["message"]
    return post(client, "wallet/session", signed(key, message, **more))


def test_a_stranger_with_a_wallet_is_in_and_has_ten_mesh(client: Client) -> None:
    key = SigningKey.generate()
    answer = come_in(client, key, next="/jobs/new").json()
    assert answer == {"made": True, "claimed": "10", "next": "/wallet/welcome?next=%2Fjobs%2Fnew"}
    user = Wallet.objects.get(address=fingerprint(key.public)).user
    assert (user.email, str(user)) == (None, f"Wallet {fingerprint(key.public)[:8]}")
    assert not user.has_usable_password()
    assert accounts.balance(user) == TEN
    assert UserSession.objects.get().user == user
    page = client.get("/wallet/welcome").content.decode()
    assert "10 MESH are in your wallet" in page
    assert (
        client.get(page.split("/ledger/transfers/")[1].split('"')[0].join(["/ledger/transfers/", ""])).status_code
        == 200
    )


def test_the_same_wallet_comes_back_to_the_same_account_and_is_paid_once(client: Client) -> None:
    key = SigningKey.generate()
    come_in(client, key)
    answer = come_in(Client(), key, next="/jobs").json()
    assert answer == {"made": False, "claimed": "0", "next": "/jobs"}
    assert User.objects.filter(email=None).count() == 1
    assert accounts.balance(User.objects.get(email=None)) == TEN


@pytest.mark.parametrize(
    "place", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "\\\\evil.example"]
)
def test_it_leads_nowhere_but_to_this_site(client: Client, place: str) -> None:
    key = SigningKey.generate()
    assert come_in(client, key, next=place).json()["next"] == "/wallet/welcome"
    assert come_in(Client(), key, next=place).json()["next"] == "/overview"
    assert place not in client.get("/wallet/welcome", {"next": place}).content.decode()


def test_another_site_cannot_open_a_session_here() -> None:
    client = Client(enforce_csrf_checks=True)
    assert post(client, "wallet/session", fresh(SigningKey.generate())).status_code == 403
    assert not Wallet.objects.exists()


Change = Callable[[dict[str, Any]], dict[str, Any]]
WRONG: dict[str, tuple[Change, type[Exception]]] = {
    "another network": (lambda m: {**m, "net": "meshwork-mainnet"}, errors.ProofWrongNetwork),
    "another purpose": (lambda m: {**m, "purpose": "transfer"}, errors.ProofWrongPurpose),
    "somebody's own challenge": (lambda m: {**m, "user": 7}, errors.ProofForeign),
    "a nonce of nobody": (lambda m: {**m, "nonce": "0" * 32}, errors.ChallengeUnknown),
    "a nonce that is none": (lambda m: {**m, "nonce": [1]}, errors.ChallengeUnknown),
    "a longer life": (lambda m: {**m, "deadline": m["deadline"] + 1}, errors.ChallengeUnknown),
    "a word more": (lambda m: {**m, "amount": "1"}, errors.ChallengeUnknown),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_proof_of_anything_else_is_refused_by_its_code_and_leaves_the_challenge_good(case: str) -> None:
    key = SigningKey.generate()
    message = wallets.visitors_challenge(wallets.SIGN_IN, utcnow())
    change, error = WRONG[case]
    with pytest.raises(error):
        enter(signed(key, change(message)))
    assert not Wallet.objects.exists()
    assert enter(signed(key, message)).made


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"signature": b64(bytes(64))}, errors.SignatureWrong),
        ({"public": b64(SigningKey.generate().public)}, errors.SignatureWrong),
        ({"public": b64(bytes(32))}, errors.SignatureWrong),
        ({"public": b64(bytes(31))}, errors.ProofMalformed),
        ({"public": "no"}, errors.ProofMalformed),
        ({"signature": "ü"}, errors.ProofMalformed),
        ({"message": "text"}, errors.ProofMalformed),
    ],
)
def test_a_forged_signature_is_refused(change: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        enter({**fresh(SigningKey.generate()), **change})
    assert not Wallet.objects.exists()


def test_a_challenge_of_one_purpose_serves_no_other() -> None:
    key = SigningKey.generate()
    with pytest.raises(errors.ProofWrongPurpose):
        enter(fresh(key, wallets.MAKE_KEY))
    message = wallets.challenge(User.objects.create_user("anna@example.org"), utcnow())
    with pytest.raises(errors.ProofForeign):
        enter(signed(key, {**message, "purpose": wallets.SIGN_IN}))


def test_a_challenge_is_good_for_ten_minutes_and_once() -> None:
    key, data = SigningKey.generate(), fresh(SigningKey.generate())
    with pytest.raises(errors.ChallengeExpired):
        wallets.enter(data, wallets.SIGN_IN, utcnow() + timedelta(minutes=10, seconds=1), address="")
    assert enter(data).made
    with pytest.raises(errors.ChallengeUsed):
        enter(data)
    lost = fresh(key)
    cache.clear()
    with pytest.raises(errors.ChallengeUnknown):
        enter(lost)


def at_once(acts: list[Callable[[], Any]]) -> list[Any]:
    """All of them in threads of their own: what each returned, or what it raised."""

    def run(act: Callable[[], Any]) -> Any:
        try:
            return act()
        except WalletRefused as error:
            return error.code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@pytest.mark.django_db(transaction=True)
def test_one_proof_sent_many_times_at_once_opens_one_door() -> None:
    data = fresh(SigningKey.generate())
    answers = at_once([lambda: enter(data)] * 6)
    assert sorted(a for a in answers if isinstance(a, str)) == ["challenge_used"] * 5
    assert Wallet.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_wallet_that_comes_many_times_at_once_makes_one_account() -> None:
    key = SigningKey.generate()
    proofs = [fresh(key) for _ in range(6)]
    entries = at_once([lambda data=data: enter(data) for data in proofs])  # type: ignore[misc]
    assert len({entry.user.pk for entry in entries}) == 1
    assert sum(entry.made for entry in entries) == 1
    assert User.objects.filter(email=None).count() == 1
    assert accounts.balance(entries[0].user) == TEN


def test_a_network_address_makes_so_many_accounts_an_hour_and_no_more() -> None:
    parameters.set_parameter("operators.wallet_accounts_hour", 2, actor=None, reason="Test.", now=utcnow())
    parameters.forget_cached()
    first = SigningKey.generate()
    enter(fresh(first), ELSEWHERE)
    enter(fresh(SigningKey.generate()), ELSEWHERE)
    with pytest.raises(TooManyAccounts):
        enter(fresh(SigningKey.generate()), ELSEWHERE)
    assert not enter(fresh(first), ELSEWHERE).made
    assert enter(fresh(SigningKey.generate()), "203.0.113.8").made
    for _ in range(3):
        assert enter(fresh(SigningKey.generate())).made
    parameters.set_parameter("operators.wallet_accounts_hour", 10, actor=None, reason="Test.", now=utcnow())


def test_addresses_are_counted_by_network_and_never_kept() -> None:
    same = {"2001:db8::1", "2001:db8::ffff:1"}
    assert len({sybil.network_key(address) for address in same}) == 1
    assert sybil.network_key("2001:db8:0:1::1") != sybil.network_key("2001:db8::1")
    assert sybil.network_key("::ffff:203.0.113.7") == sybil.network_key(ELSEWHERE)
    assert ELSEWHERE not in sybil.network_key(ELSEWHERE)


def test_loopback_counts_on_a_mainnet(settings: Any) -> None:
    assert sybil.is_exempt("127.0.0.1")
    assert sybil.is_exempt("::1")
    assert not sybil.is_exempt(ELSEWHERE)
    settings.IS_TESTNET = False
    assert not sybil.is_exempt("127.0.0.1")


def test_what_a_client_says_of_its_address_counts_behind_known_proxies_only(settings: Any, rf: Any) -> None:
    request = rf.get("/", headers={"X-Forwarded-For": f"10.0.0.1, {ELSEWHERE}"}, REMOTE_ADDR="198.51.100.2")
    assert sybil.address_of(request) == "198.51.100.2"
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    assert sybil.address_of(request) == ELSEWHERE


def test_a_deleted_account_does_not_come_back_by_its_wallet() -> None:
    key = SigningKey.generate()
    entry = enter(fresh(key))
    User.objects.filter(pk=entry.user.pk).update(is_active=False)
    with pytest.raises(AccountGone):
        enter(fresh(key))


def test_a_banned_address_makes_no_account_but_its_account_may_come_and_appeal(admin: User, applicant: User) -> None:
    stranger, known = SigningKey.generate(), SigningKey.generate()
    enter(fresh(known))
    for key in (stranger, known):
        bans.make(bans.Order("Drains the faucet.", "Event 7.", address=fingerprint(key.public)), admin, utcnow())
    with pytest.raises(AddressBanned):
        enter(fresh(stranger))
    with pytest.raises(AddressBanned):
        wallets.bind(applicant, signed(stranger, wallets.challenge(applicant, utcnow())), utcnow())
    assert not enter(fresh(known)).made
    assert Wallet.objects.count() == 1


def test_a_second_factor_is_asked_for_after_the_wallet(client: Client) -> None:
    key = SigningKey.generate()
    user = enter(fresh(key)).user
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={"secret": "x"})
    assert come_in(client, key).json()["next"].startswith("/accounts/2fa/authenticate/")
    assert "_auth_user_id" not in client.session
    message = post(client, "wallet/challenge", {"purpose": wallets.MAKE_KEY}).json()["message"]
    refused = post(client, "wallet", signed(key, message))
    assert refused.json()["code"] == "second_factor_needed"
    assert not ApiKey.objects.exists()


def test_a_command_line_gets_a_key_by_its_wallet(client: Client) -> None:
    key = SigningKey.generate()
    message = post(client, "wallet/challenge", {"purpose": wallets.MAKE_KEY}).json()["message"]
    made = post(client, "wallet", signed(key, message, name="laptop", label="default"))
    assert (made.status_code, made.json()["claimed"]) == (201, "10")
    account = client.get("/api/v1/me", headers={"Authorization": f"Bearer {made.json()['key']}"}).json()
    assert (account["email"], account["balance"]) == (None, "10")


def test_who_has_no_address_adds_one_before_applying_and_is_sent_nothing(client: Client) -> None:
    user = enter(fresh(SigningKey.generate())).user
    with pytest.raises(errors.EmailMissing):
        applications.submit(user, DATA, utcnow())
    assert not Notification.objects.exists()
    client.force_login(user)
    for page in (
        "/account",
        "/account/email",
        "/account/security",
        "/account/data",
        "/account/delete",
        "/apply",
        "/wallet",
    ):
        assert ">None<" not in client.get(page).content.decode(), page
    user.email = "wanda@example.org"
    user.save()
    assert applications.submit(user, DATA, utcnow()).user == user
