"""What a test network gives away, and a mainnet does not."""

from uuid import uuid4

import pytest
from pytest_django import Settings

from apps.core.models import Event, User
from apps.ledger import accounts, faucet
from apps.ledger.amounts import MESH
from apps.ledger.errors import (
    FaucetClaimed,
    FaucetClosed,
    FaucetEmpty,
    GrantRefused,
    InsufficientFunds,
    RewardUnknown,
)
from apps.ledger.models import Account, Block, Transfer
from apps.ledger.posting import post_all
from tests.apps.ledger.cast import NOW, balances, move


@pytest.fixture
def user(ada: Account) -> User:
    return User.objects.get(email="ada@example.org")


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_user(email="staff@example.org", password="x", is_staff=True)


def test_a_first_wallet_is_given_ten_once(started: Block, user: User, ada: Account) -> None:
    given = faucet.claim(user, "wallet_connect", NOW)
    assert (given.amount, given.credit, given.authorisation["user"]) == (10 * MESH, ada, user.pk)
    with pytest.raises(FaucetClaimed):
        faucet.claim(user, "wallet_connect", NOW)
    assert balances(ada) == [10 * MESH]
    assert Event.objects.get(kind="tokens.granted").data["amount"] == 10 * MESH


def test_everybody_has_their_own_first_wallet(started: Block, user: User, staff: User) -> None:
    faucet.claim(user, "wallet_connect", NOW)
    faucet.claim(staff, "wallet_connect", NOW)
    assert accounts.balance(staff) == 10 * MESH


def test_the_faucet_gives_only_what_it_knows(started: Block, user: User) -> None:
    with pytest.raises(RewardUnknown):
        faucet.claim(user, "free_lunch", NOW)


def test_a_mainnet_gives_nothing(started: Block, user: User, staff: User, settings: Settings) -> None:
    settings.IS_TESTNET = False
    with pytest.raises(FaucetClosed):
        faucet.claim(user, "wallet_connect", NOW)
    with pytest.raises(GrantRefused):
        faucet.grant_tier_stake(user, "ORACLE", NOW)
    with pytest.raises(GrantRefused):
        faucet.treasury_grant(user, MESH, staff, "a gift", NOW)
    assert accounts.balance(user) == 0


def test_an_empty_faucet_says_so(started: Block, user: User, bert: Account) -> None:
    post_all([move(accounts.system("faucet"), bert, 9_995 * MESH)], now=NOW)
    with pytest.raises(FaucetEmpty):
        faucet.claim(user, "wallet_connect", NOW)


@pytest.mark.parametrize(("tier", "amount"), [("ALL", 1_000), ("ORACLE", 5_000), ("GUARDIAN", 10_000)])
def test_an_approved_operator_is_granted_the_tiers_stake_once(
    started: Block, user: User, tier: str, amount: int
) -> None:
    first = faucet.grant_tier_stake(user, tier, NOW)
    assert faucet.grant_tier_stake(user, "GUARDIAN", NOW) == first
    assert accounts.balance(user) == amount * MESH
    assert first.debit.address == "treasury:system"


def test_staff_grant_from_the_treasury_with_a_reason(started: Block, user: User, staff: User) -> None:
    request = uuid4()
    for _ in range(2):
        given = faucet.treasury_grant(user, 3 * MESH, staff, "for the workshop", NOW, request=request)
    assert (given.memo, given.authorisation["user"]) == ("for the workshop", staff.pk)
    assert accounts.balance(user) == 3 * MESH


def test_others_grant_nothing(started: Block, user: User, staff: User) -> None:
    with pytest.raises(GrantRefused):
        faucet.treasury_grant(user, MESH, user, "for me", NOW)
    staff.is_active = False
    with pytest.raises(GrantRefused):
        faucet.treasury_grant(user, MESH, staff, "a gift", NOW)
    assert not Transfer.objects.filter(kind="grant.treasury").exists()


def test_the_treasury_grants_no_more_than_it_has(started: Block, user: User, staff: User) -> None:
    with pytest.raises(InsufficientFunds):
        faucet.treasury_grant(user, 3_000_000 * MESH, staff, "a lot", NOW)
