"""The fee by use: between floor and ceiling, never falling as the network fills, and paid whole by whoever asked."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core import parameters
from apps.ledger import accounts, settlement
from apps.ledger.amounts import MESH
from apps.pool import pricing

VALUES = {name: spec.default for name, spec in parameters.PARAMETERS.items() if name.startswith("fees.")}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
slots = st.integers(1, 10_000)
sizes = st.integers(1, 10**12)
bases = st.integers(1, 100 * MESH)


def priced(base: int, size: int, busy: int, of: int) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parameters, "get", (VALUES | {"fees.base": base}).__getitem__)
        return pricing.price(size, busy, of)


@given(base=bases, size=sizes, of=slots, part=st.floats(0, 1))
def test_a_chunk_costs_from_the_floor_to_the_ceiling(base: int, size: int, of: int, part: float) -> None:
    assert MESH // 100 <= priced(base, size, int(of * part), of) <= 5 * MESH


@given(base=bases, size=sizes, of=slots, parts=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_fuller_network_never_costs_less(base: int, size: int, of: int, parts: tuple[float, float]) -> None:
    less, more = sorted(int(of * part) for part in parts)
    assert priced(base, size, less, of) <= priced(base, size, more, of)


@given(of=slots, busy=st.integers(0, 10_000))
def test_the_multiplier_changes_at_50_80_and_95_percent(of: int, busy: int) -> None:
    busy = min(busy, of)
    use = 100 * busy / of
    expected = 5 if use < 50 else 10 if use < 80 else 15 if use < 95 else 20
    assert priced(MESH // 10, 1, busy, of) == expected * MESH // 100


def change(name: str, value: int) -> None:
    parameters.set_parameter(name, value, actor=None, reason="A vote.", now=NOW)
    parameters.forget_cached()


@pytest.mark.django_db
def test_the_network_may_vote_other_multipliers_and_other_steps() -> None:
    parameters.forget_cached()
    before = [pricing.price(size, busy, 100) for size, busy in ((8 * 10**9, 50), (8 * 10**9, 60), (10**6, 60))]
    assert before == [2 * MESH // 10, 2 * MESH // 10, MESH // 10]
    for name, value in {"fees.size_medium": 4, "fees.use_busy_from": 60, "fees.use_busy": 175}.items():
        change(name, value)
    after = [pricing.price(size, busy, 100) for size, busy in ((8 * 10**9, 50), (8 * 10**9, 60), (10**6, 60))]
    assert after == [4 * MESH // 10, 7 * MESH // 10, 175 * MESH // 1000]
    change("fees.size_small_to", 8)
    assert pricing.price(8 * 10**9, 50, 100) == MESH // 10


@pytest.mark.django_db
def test_equal_steps_leave_one_out() -> None:
    change("fees.use_normal_from", 80)
    assert [pricing.price(10**6, busy, 100) for busy in (79, 80)] == [MESH // 20, 15 * MESH // 100]


@pytest.mark.django_db
@pytest.mark.parametrize("providers", [1, 2, 3, 7])
@pytest.mark.parametrize("fee", [MESH // 100, 5 * MESH, 12_345_679])
def test_what_a_chunk_pays_is_its_fee_and_nothing_is_minted(providers: int, fee: int) -> None:
    payees = [accounts.account("wallet", f"provider-{i}").pk for i in range(providers)]
    [legs] = settlement.legs([settlement.Chunk(uuid4(), "tsk_1", payees, fee)])
    by_kind = {kind: sum(leg.amount for leg in legs if leg.kind == kind) for kind in ("fee.burn", "fee.treasury")}
    assert sum(leg.amount for leg in legs) == fee
    assert by_kind == {"fee.burn": fee * 5 // 100, "fee.treasury": fee * 10 // 100}
