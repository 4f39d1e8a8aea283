"""Holds: set aside, paid whole or in part, given back, expired; all of it twice without harm."""

from collections.abc import Collection, Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from pytest_django import DjangoAssertNumQueries

from apps.core.models import User
from apps.ledger import accounts, holds
from apps.ledger.errors import HoldClosed, HoldDiffers, HoldExceeded, HoldUnknown, InsufficientFunds, PostingRefused
from apps.ledger.holds import Leg, Settlement
from apps.ledger.models import Account, Hold, HoldStatus, Transfer
from tests.apps.ledger.cast import BY, NOW, Fund, balances

LATER = NOW + timedelta(hours=1)


def place(payer: Account, amount: int, hold_id: UUID | None = None, purpose: str = "job") -> Hold:
    return holds.place(
        id=hold_id or uuid4(),
        payer=payer,
        amount=amount,
        purpose=purpose,
        authorisation=BY,
        expires_at=LATER,
        now=NOW,
    )


def leg(credit: Account, amount: int) -> Leg:
    return Leg(uuid4(), credit.pk, amount, "fee.provider")


@pytest.fixture
def hold(ada: Account, fund: Fund) -> Hold:
    fund(ada, 100)
    return place(ada, 60)


@pytest.fixture
def aside(hold: Hold) -> Account:
    return hold.account


def test_a_hold_sets_money_aside(ada: Account, hold: Hold, aside: Account) -> None:
    assert balances(ada, aside) == [40, 60]
    user = User.objects.get(email="ada@example.org")
    assert (accounts.balance(user), accounts.held(user)) == (40, 60)


def test_nobody_holds_more_than_they_have(ada: Account, hold: Hold, aside: Account) -> None:
    with pytest.raises(InsufficientFunds):
        place(ada, 41)
    assert balances(ada, aside) == [40, 60]


def test_placing_twice_is_placing_once(ada: Account, hold: Hold, aside: Account) -> None:
    assert place(ada, 60, hold.pk) == hold
    assert balances(ada, aside) == [40, 60]


@pytest.mark.parametrize(("amount", "purpose"), [(61, "job"), (60, "vote")])
def test_an_id_means_one_hold(ada: Account, hold: Hold, amount: int, purpose: str) -> None:
    with pytest.raises(HoldDiffers):
        place(ada, amount, hold.pk, purpose)


def test_an_empty_hold_is_refused(ada: Account) -> None:
    with pytest.raises(PostingRefused) as refused:
        place(ada, 0)
    assert refused.value.code == "amount_not_positive"


def test_a_hold_is_settled_in_parts_and_closes_with_the_last(hold: Hold, aside: Account, bert: Account) -> None:
    holds.settle(hold.pk, [leg(bert, 20), leg(bert, 5)], now=NOW)
    hold.refresh_from_db()
    assert (hold.status, hold.settled, hold.remaining) == (HoldStatus.OPEN, 25, 35)
    holds.settle(hold.pk, [leg(bert, 35)], now=LATER)
    hold.refresh_from_db()
    assert (hold.status, hold.remaining, hold.closed_at) == (HoldStatus.SETTLED, 0, LATER)
    assert balances(aside, bert) == [0, 60]


def test_a_leg_is_paid_once_even_after_the_hold_closed(hold: Hold, bert: Account) -> None:
    part, rest = leg(bert, 20), leg(bert, 40)
    for legs in ([part], [part], [part, rest], [rest], [part]):
        results = holds.settle(hold.pk, legs, now=NOW)
    assert [result.code for result in results] == ["exists"]
    assert balances(bert) == [60]


def test_a_settlement_never_exceeds_its_hold(ada: Account, hold: Hold, aside: Account, bert: Account) -> None:
    place(ada, 40)
    with pytest.raises(HoldExceeded):
        holds.settle(hold.pk, [leg(bert, 61)], now=NOW)
    with pytest.raises(HoldExceeded):
        holds.settle(hold.pk, [leg(bert, 101)], now=NOW)
    hold.refresh_from_db()
    assert (hold.settled, balances(aside, bert)) == (0, [100, 0])


def test_a_refused_leg_keeps_the_others_from_being_paid(hold: Hold, aside: Account, bert: Account) -> None:
    with pytest.raises(PostingRefused) as refused:
        holds.settle(hold.pk, [leg(bert, 5), leg(aside, 5)], now=NOW)
    assert refused.value.code == "same_account"
    assert balances(aside, bert) == [60, 0]


def test_a_closed_hold_pays_nothing_new(ada: Account, hold: Hold, bert: Account) -> None:
    holds.void(hold.pk, now=NOW)
    with pytest.raises(HoldClosed):
        holds.settle(hold.pk, [leg(bert, 1)], now=NOW)
    place(ada, 50)
    with pytest.raises(HoldClosed):
        holds.settle(hold.pk, [leg(bert, 1)], now=NOW)


def test_an_unknown_hold_is_refused(bert: Account) -> None:
    with pytest.raises(HoldUnknown):
        holds.settle(uuid4(), [leg(bert, 1)], now=NOW)
    with pytest.raises(HoldUnknown):
        holds.void(uuid4(), now=NOW)


def test_voiding_gives_back_what_is_left_once(ada: Account, hold: Hold, aside: Account, bert: Account) -> None:
    holds.settle(hold.pk, [leg(bert, 20)], now=NOW)
    for _ in range(2):
        voided = holds.void(hold.pk, now=LATER)
    assert (voided.status, voided.settled, voided.released) == (HoldStatus.VOIDED, 20, 40)
    assert balances(ada, aside, bert) == [80, 0, 20]


def test_a_settled_hold_stays_settled_when_voided(hold: Hold, bert: Account) -> None:
    holds.settle(hold.pk, [leg(bert, 60)], now=NOW)
    assert holds.void(hold.pk, now=LATER).status == HoldStatus.SETTLED


def test_a_hold_expires_at_its_time_and_not_before(ada: Account, hold: Hold) -> None:
    assert holds.expire_due(now=LATER - timedelta(seconds=1)) == []
    assert holds.expire_due(now=LATER) == [hold]
    assert holds.expire_due(now=LATER) == []
    hold.refresh_from_db()
    assert (hold.status, balances(ada)) == (HoldStatus.EXPIRED, [100])
    assert Transfer.objects.filter(hold=hold, kind="hold.expire").count() == 1


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[UUID]]:
    work: set[UUID] = set()

    def in_use(ids: Collection[UUID]) -> set[UUID]:
        return work & set(ids)

    monkeypatch.setattr(holds, "_in_use", {})
    holds.keep_while("job", in_use)
    return work


def test_a_hold_whose_work_runs_does_not_expire(hold: Hold, running: set[UUID]) -> None:
    running.add(hold.pk)
    assert holds.expire_due(now=LATER) == []
    running.clear()
    assert holds.expire_due(now=LATER) == [hold]


def test_many_settlements_fail_each_for_itself(ada: Account, hold: Hold, aside: Account, bert: Account) -> None:
    other, gone = place(ada, 10), place(ada, 10)
    holds.void(gone.pk, now=NOW)
    nobody = uuid4()
    outcomes = holds.settle_many(
        [
            Settlement(hold.pk, [leg(bert, 20)]),
            Settlement(nobody, [leg(bert, 1)]),
            Settlement(other.pk, [leg(bert, 11)]),
            Settlement(hold.pk, [leg(bert, 30)]),
            Settlement(gone.pk, [leg(bert, 1)]),
            Settlement(other.pk, [leg(bert, 10)]),
        ],
        now=NOW,
    )
    assert [(o.hold_id, o.code) for o in outcomes] == [
        (hold.pk, "settled"),
        (nobody, "hold_unknown"),
        (other.pk, "hold_exceeded"),
        (hold.pk, "settled"),
        (gone.pk, "hold_closed"),
        (other.pk, "settled"),
    ]
    assert balances(aside, bert) == [10, 60]
    assert holds.settle_many([], now=NOW) == []


def test_settling_many_holds_asks_the_database_no_more_often(
    ada: Account, bert: Account, fund: Fund, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    fund(ada, 1_000)
    for count in (2, 50):
        placed = [place(ada, 1) for _ in range(count)]
        with django_assert_num_queries(5):
            holds.settle_many([Settlement(h.pk, [leg(bert, 1)]) for h in placed], now=NOW)
