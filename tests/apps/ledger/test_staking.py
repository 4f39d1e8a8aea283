"""Stake is locked, taken back after a time, slashable until then, and slashed once per fault."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from apps.core.errors import MeshError
from apps.core.models import Event, User
from apps.ledger import accounts, audit, slashing, staking
from apps.ledger.errors import FaultDiffers, InsufficientFunds, StakeExceeded, UnbondingOver, UnbondingUnknown
from apps.ledger.models import Account, Block, Slash, SlashStatus, Transfer, Unbonding, UnbondingStatus
from tests.apps.ledger.cast import BY, NOW, Fund, balances
from tests.apps.ledger.test_races import at_once
from tests.apps.ledger.waits import until_somebody_waits_for_me

HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)


@pytest.fixture
def user(ada: Account, started: Block, fund: Fund) -> User:
    fund(ada, 100)
    return User.objects.get(email="ada@example.org")


def put(user: User, amount: int, now: datetime = NOW) -> Transfer:
    return staking.stake(user, amount, id=uuid4(), authorisation=BY, now=now)


def ask_back(user: User, amount: int, now: datetime = NOW) -> Unbonding:
    return staking.unstake(user, amount, id=uuid4(), authorisation=BY, now=now)


def held(user: User) -> list[int]:
    """Wallet, stake account, bonded."""
    return [*balances(accounts.wallet(user), accounts.stake(user)), staking.bonded(user)]


def test_stake_is_locked_from_the_wallet_once(user: User) -> None:
    one = uuid4()
    for _ in range(2):
        staking.stake(user, 60, id=one, authorisation=BY, now=NOW)
    assert held(user) == [40, 60, 60]
    with pytest.raises(InsufficientFunds):
        put(user, 41)
    assert Event.objects.filter(kind="stake.locked").count() == 1


def test_stake_comes_back_when_its_time_is_over_and_once(user: User) -> None:
    put(user, 60)
    row = ask_back(user, 25)
    assert held(user) == [40, 60, 35]
    assert staking.release_due(now=NOW + HOUR - timedelta(seconds=1)) == []
    assert [r.pk for r in staking.release_due(now=NOW + HOUR)] == [row.pk]
    assert staking.release_due(now=NOW + HOUR) == []
    assert held(user) == [65, 35, 35]
    assert Transfer.objects.get(pk=row.pk).kind == "stake.release"
    assert Event.objects.get(kind="stake.released").data == {"amount": "25"}
    assert audit.run(NOW).ok


def test_a_mainnet_waits_seven_days(user: User, settings: Settings) -> None:
    assert ask_back_after(user) == HOUR
    settings.IS_TESTNET = False
    assert ask_back_after(user) == WEEK


def ask_back_after(user: User) -> timedelta:
    put(user, 10)
    row = ask_back(user, 10)
    return row.release_at - row.started_at


def test_nobody_takes_back_more_than_is_bonded(user: User) -> None:
    put(user, 60)
    ask_back(user, 40)
    with pytest.raises(StakeExceeded):
        ask_back(user, 21)
    with pytest.raises(MeshError) as refused:
        ask_back(user, 0)
    assert refused.value.code == "amount_not_positive"
    assert held(user) == [40, 60, 20]


def test_stake_on_its_way_out_can_be_kept(user: User) -> None:
    put(user, 60)
    row = ask_back(user, 25)
    assert staking.cancel(user, row.pk, now=NOW).status == UnbondingStatus.CANCELLED
    assert held(user) == [40, 60, 60]
    with pytest.raises(UnbondingOver):
        staking.cancel(user, row.pk, now=NOW)
    late = ask_back(user, 25)
    with pytest.raises(UnbondingOver):
        staking.cancel(user, late.pk, now=NOW + HOUR)


def test_somebody_elses_stake_is_not_kept(user: User, bert: Account) -> None:
    put(user, 60)
    row = ask_back(user, 25)
    with pytest.raises(UnbondingUnknown):
        staking.cancel(User.objects.get(email="bert@example.org"), row.pk, now=NOW)
    assert held(user) == [40, 60, 35]


def test_a_slash_takes_its_share_of_the_stake_at_the_fault(user: User) -> None:
    put(user, 40)
    put(user, 50, NOW + HOUR)
    row = slashing.slash(user, "flt_1", 2_500, NOW, NOW + 2 * HOUR)
    assert (row.at_stake, row.amount) == (40, 10)
    assert held(user) == [10, 80, 80]
    assert balances(accounts.escrow(f"slash:{accounts.owner_of(user)}")) == [10]


def test_a_fault_is_slashed_once(user: User, bert: Account) -> None:
    put(user, 80)
    first = slashing.slash(user, "flt_1", 5_000, NOW, NOW)
    assert slashing.slash(user, "flt_1", 5_000, NOW, NOW + HOUR) == first
    other = User.objects.get(email="bert@example.org")
    for who, share in ((user, 6_000), (other, 5_000)):
        with pytest.raises(FaultDiffers):
            slashing.slash(who, "flt_1", share, NOW, NOW)
    assert held(user) == [20, 40, 40]
    assert Slash.objects.count() == 1


def test_stake_on_its_way_out_is_slashed_last(user: User) -> None:
    put(user, 100)
    first, second = ask_back(user, 30), ask_back(user, 50, NOW + timedelta(minutes=1))
    slashing.slash(user, "flt_1", 8_000, NOW, NOW + timedelta(minutes=2))
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.remaining, second.remaining, second.status) == (20, 0, "slashed")
    assert held(user) == [0, 20, 0]
    staking.release_due(now=NOW + 2 * HOUR)
    assert held(user) == [20, 0, 0]
    assert audit.run(NOW).ok


def test_what_has_left_is_not_slashed(user: User) -> None:
    put(user, 100)
    ask_back(user, 90)
    staking.release_due(now=NOW + HOUR)
    row = slashing.slash(user, "flt_1", 10_000, NOW, NOW + HOUR)
    assert (row.at_stake, row.amount) == (100, 10)
    assert held(user) == [90, 0, 0]


def test_a_slash_of_nothing_is_remembered(user: User) -> None:
    assert slashing.slash(user, "flt_1", 10_000, NOW, NOW).amount == 0
    assert [row.status for row in slashing.execute_due(now=NOW + WEEK)] == [SlashStatus.EXECUTED]


def test_after_the_appeal_half_is_burnt_and_half_is_the_treasurys(user: User) -> None:
    put(user, 100)
    slashing.slash(user, "flt_1", 5_100, NOW, NOW)
    burn, treasury = accounts.system("burn"), accounts.system("treasury")
    before = balances(burn, treasury)
    assert slashing.execute_due(now=NOW + WEEK - timedelta(seconds=1)) == []
    for _ in range(2):
        slashing.execute_due(now=NOW + WEEK)
    assert [after - old for after, old in zip(balances(burn, treasury), before, strict=True)] == [25, 26]
    assert balances(accounts.escrow(f"slash:{accounts.owner_of(user)}")) == [0]
    assert audit.run(NOW).ok


@pytest.mark.django_db(transaction=True)
def test_one_fault_slashed_by_many_at_once_is_slashed_once(user: User) -> None:
    put(user, 100)
    rows = at_once(lambda i: slashing.slash(user, "flt_1", 5_000, NOW, NOW))
    assert {row.pk for row in rows} == {rows[0].pk}
    assert held(user) == [0, 50, 50]


@pytest.mark.django_db(transaction=True)
def test_one_fault_slashed_of_two_owners_at_once_is_one_owners(user: User, bert: Account) -> None:
    put(user, 100)
    owners = (user, User.objects.get(email="bert@example.org"))

    def work(i: int) -> str:
        try:
            return str(slashing.slash(owners[i % 2], "flt_1", 5_000, NOW, NOW).account_id)
        except FaultDiffers as error:
            return error.code

    assert sorted(Counter(at_once(work)).values()) == [4, 4]
    assert Slash.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_taking_back_at_once_takes_no_more_than_there_is(user: User) -> None:
    put(user, 100)

    def work(i: int) -> str:
        try:
            ask_back(user, 30)
        except StakeExceeded as error:
            return error.code
        return "begun"

    assert Counter(at_once(work)) == {"begun": 3, "stake_exceeded": 5}
    assert held(user) == [0, 100, 10]


@pytest.mark.django_db(transaction=True)
def test_releases_slashes_and_cancels_at_once_lose_no_unit(user: User) -> None:
    put(user, 100)
    rows = [ask_back(user, 20) for _ in range(4)]

    def work(i: int) -> None:
        if i < 4:
            staking.release_due(now=NOW + HOUR)
        elif i < 6:
            slashing.slash(user, f"flt_{i}", 3_000, NOW, NOW + HOUR)
        else:
            with pytest.raises(UnbondingOver):
                staking.cancel(user, rows[i - 6].pk, now=NOW + HOUR)

    at_once(work)
    wallet, stake, bonded = held(user)
    escrow = sum(Slash.objects.values_list("amount", flat=True))
    assert wallet + stake + escrow == 100
    assert stake == bonded + sum(row.remaining for row in Unbonding.objects.waiting())
    assert audit.run(NOW).ok


@pytest.mark.django_db(transaction=True)
def test_a_release_that_meets_a_deadlock_is_made_all_the_same(user: User) -> None:
    put(user, 60)
    row = ask_back(user, 25)
    first, second = sorted([accounts.wallet(user), accounts.stake(user)], key=lambda account: account.pk)

    def released() -> Unbonding | None:
        try:
            return staking.release(row.pk, now=NOW + HOUR)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            accounts.lock(second)
            answer = pool.submit(released)
            until_somebody_waits_for_me()
            # The one that waits longer is ended: the release, which holds the first.
            accounts.lock(first)
        assert answer.result() == row
    assert held(user) == [65, 35, 35]
