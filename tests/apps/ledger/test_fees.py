"""The fee split, for every amount; and what a chunk's payment does with it."""

from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core import parameters
from apps.ledger import accounts, amounts, fees, holds, settlement
from apps.ledger.amounts import MAX_SUPPLY, MESH
from apps.ledger.errors import AmountMalformed, HoldExceeded
from apps.ledger.models import Account, Hold
from tests.apps.ledger.cast import BY, NOW, Fund, balances


@pytest.fixture
def percentages(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    values = {"fees.provider_percent": 85, "fees.burn_percent": 5, "fees.treasury_percent": 10}
    monkeypatch.setattr(parameters, "get", values.__getitem__)
    return values


@given(amount=st.integers(0, MAX_SUPPLY))
def test_a_split_shares_the_whole_fee_and_rounds_for_the_provider(amount: int) -> None:
    values = {"fees.provider_percent": 85, "fees.burn_percent": 5, "fees.treasury_percent": 10}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parameters, "get", values.__getitem__)
        split = fees.split(amount)
    assert sum(split) == amount
    assert split.burn == amount * 5 // 100
    assert split.treasury == amount * 10 // 100
    assert 0 <= split.provider * 100 - amount * 85 < 200


@given(amount=st.integers(0, MAX_SUPPLY), percents=st.tuples(*[st.integers(0, 100)] * 3))
def test_no_percentages_lose_or_make_money(amount: int, percents: tuple[int, int, int]) -> None:
    names = ("fees.provider_percent", "fees.burn_percent", "fees.treasury_percent")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parameters, "get", dict(zip(names, percents, strict=True)).__getitem__)
        split = fees.split(amount)
    assert sum(split) == amount
    assert min(split) >= 0


@given(amount=st.integers(0, MAX_SUPPLY), parts=st.integers(1, 20))
def test_shares_are_equal_to_a_unit(amount: int, parts: int) -> None:
    shares = fees.share(amount, parts)
    assert (sum(shares), len(shares)) == (amount, parts)
    assert max(shares) - min(shares) <= 1


@given(units=st.integers(0, MAX_SUPPLY))
def test_an_amount_reads_as_it_was_shown(units: int) -> None:
    assert amounts.parse(amounts.show(units)) == units


def test_amounts_are_shown_without_trailing_zeros() -> None:
    assert [amounts.show(units) for units in (0, 1, MESH, 125_000_000, -50_000_000)] == [
        "0",
        "0.00000001",
        "1",
        "1.25",
        "-0.5",
    ]


@pytest.mark.parametrize("text", ["", "-1", "1e3", "1.", ".5", "1.123456789", "1,5", "٣", "nan", "123456789"])
def test_other_ways_to_write_an_amount_are_refused(text: str) -> None:
    with pytest.raises(AmountMalformed):
        amounts.parse(text)


@pytest.fixture
def hold(ada: Account, fund: Fund) -> Hold:
    fund(ada, 10 * MESH)
    later = NOW + timedelta(hours=1)
    return holds.place(id=uuid4(), payer=ada, amount=MESH, purpose="job", authorisation=BY, expires_at=later, now=NOW)


def test_a_chunk_is_paid_85_5_10_and_once(hold: Hold, bert: Account) -> None:
    for _ in range(2):
        paid = settlement.settle_chunk(hold.pk, task_id="tsk_1", provider_accounts=[bert], amount=MESH // 10, now=NOW)
    assert [(t.kind, t.amount) for t in paid] == [
        ("fee.provider", 8_500_000),
        ("fee.burn", 500_000),
        ("fee.treasury", 1_000_000),
    ]
    assert balances(bert, accounts.system("burn"), accounts.system("treasury")) == [8_500_000, 500_000, 1_000_000]
    hold.refresh_from_db()
    assert hold.settled == MESH // 10


def test_replicas_share_the_providers_part(hold: Hold, ada: Account, bert: Account) -> None:
    paid = settlement.settle_chunk(hold.pk, task_id="tsk_1", provider_accounts=[bert, ada, bert], amount=100, now=NOW)
    assert [(t.kind, t.amount) for t in paid if t.kind == "fee.provider"] == [
        ("fee.provider", 29),
        ("fee.provider", 28),
        ("fee.provider", 28),
    ]


def test_a_fee_too_small_to_share_goes_to_the_provider(hold: Hold, bert: Account) -> None:
    paid = settlement.settle_chunk(hold.pk, task_id="tsk_1", provider_accounts=[bert], amount=1, now=NOW)
    assert [(t.kind, t.amount) for t in paid] == [("fee.provider", 1)]


def test_many_chunks_are_paid_together_or_not_at_all(hold: Hold, bert: Account) -> None:
    chunks = [settlement.Chunk(hold.pk, f"tsk_{i}", [bert.pk], MESH // 4) for i in range(5)]
    with pytest.raises(HoldExceeded):
        settlement.pay(chunks, now=NOW)
    assert balances(bert) == [0]
    settlement.pay(chunks[:4], now=NOW)
    settlement.pay(chunks[:4], now=NOW)
    assert balances(bert) == [85_000_000]
