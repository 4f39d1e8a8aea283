"""A wallet that was removed opens nothing and signs nothing, until its owner binds it again."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from apps.core.models import Event, User
from apps.ledger import accounts, signers
from apps.ledger.money_models import Mandate
from apps.operators import wallet_errors, wallet_removal, wallets
from apps.operators.errors import WalletInUse
from apps.operators.models import Notification, Wallet
from tests.apps.operators.conftest import sign_in
from workers.protocol.canonical import dumps
from workers.protocol.clock import utcnow
from workers.protocol.keys import SigningKey, b64, fingerprint

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("platform_redis")]


def proof(key: SigningKey, message: dict[str, Any]) -> dict[str, Any]:
    return {"public": b64(key.public), "signature": b64(key.sign(dumps(message))), "message": message, "label": ""}


def bind(user: User, key: SigningKey) -> Wallet:
    return wallets.bind(user, proof(key, wallets.challenge(user, utcnow())), utcnow())[0]


def enter(key: SigningKey) -> wallets.Entry:
    message = wallets.visitors_challenge(wallets.SIGN_IN, utcnow())
    return wallets.enter(proof(key, message), wallets.SIGN_IN, utcnow(), address="127.0.0.1")


@pytest.fixture
def key() -> SigningKey:
    return SigningKey.generate()


def test_it_opens_and_signs_nothing_any_more_and_the_owner_is_told(applicant: User, key: SigningKey) -> None:
    wallet = bind(applicant, key)
    assert signers.find(wallet.address) is not None
    wallet_removal.remove(applicant, wallet.address, utcnow())
    assert signers.find(wallet.address) is None
    assert (wallets.addresses(applicant), wallets.has_one(applicant)) == ([], False)
    with pytest.raises(wallet_errors.WalletRemoved):
        enter(key)
    assert Event.objects.filter(kind="wallet.removed", subject=f"user:{applicant.pk}").exists()
    assert list(Notification.objects.values_list("kind", flat=True)) == ["wallet_removed", "wallet_bound"]
    with pytest.raises(wallet_errors.WalletUnknown):
        wallet_removal.remove(applicant, wallet.address, utcnow())


def test_its_owner_binds_it_again_without_a_second_reward_and_nobody_else_does(
    applicant: User, admin: User, key: SigningKey
) -> None:
    wallet = bind(applicant, key)
    balance = accounts.balance(applicant)
    wallet_removal.remove(applicant, wallet.address, utcnow())
    with pytest.raises(WalletInUse):
        bind(admin, key)
    bind(applicant, key)
    assert signers.find(wallet.address) is not None
    assert (accounts.balance(applicant), Wallet.objects.count()) == (balance, 1)
    assert enter(key).user == applicant


def test_the_mandates_that_it_signed_are_over(applicant: User, admin: User, key: SigningKey) -> None:
    wallet = bind(applicant, key)
    mandate = Mandate.objects.create(
        id=uuid4(),
        payer=accounts.wallet(applicant),
        spender=accounts.owner_of(admin),
        wallet=wallet.address,
        cap=1,
        document={},
        signature="",
        created_at=utcnow(),
        expires_at=utcnow() + timedelta(days=1),
    )
    wallet_removal.remove(applicant, wallet.address, utcnow())
    mandate.refresh_from_db()
    assert mandate.revoked_at is not None


def test_the_only_way_into_an_account_stays(key: SigningKey) -> None:
    user = enter(key).user
    with pytest.raises(wallet_errors.WalletLast):
        wallet_removal.remove(user, fingerprint(key.public), utcnow())
    assert enter(key).user == user
    second = bind(user, SigningKey.generate())
    wallet_removal.remove(user, fingerprint(key.public), utcnow())
    assert wallets.addresses(user) == [second.address]


def test_the_page_removes_ones_own(client: Client, applicant: User, admin: User, key: SigningKey) -> None:
    wallet = bind(applicant, key)
    sign_in(client, admin)
    assert client.post(f"/wallet/{wallet.address}/remove").status_code == 404
    sign_in(client, applicant)
    assert f"/wallet/{wallet.address}/remove" in client.get("/wallet").content.decode()
    assert "The wallet is removed" in client.post(f"/wallet/{wallet.address}/remove", follow=True).content.decode()
    assert wallets.addresses(applicant) == []


def test_the_first_wallets_of_many_accounts_are_counted_by_address(applicant: User) -> None:
    refused = None
    for n in range(12):
        user = User.objects.create_user(f"n{n}@example.org")
        client = Client(REMOTE_ADDR="203.0.113.9")
        sign_in(client, user)
        made = proof(SigningKey.generate(), wallets.challenge(user, utcnow()))
        answer = client.post("/api/v1/wallets", made, "application/json")
        if answer.status_code != 201:
            refused = refused or (n, answer.json()["code"])
    assert refused == (10, "too_many_accounts")
