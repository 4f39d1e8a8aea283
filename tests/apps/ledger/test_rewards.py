"""A day's emission: so much by the clock, minted once, shared exactly, half of a new node's in escrow for a week."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.ledger import accounts, audit, blocks, emission, escrow, fees, rewards
from apps.ledger.amounts import MAX_SUPPLY, MESH
from apps.ledger.models import Account, Block, Epoch, EpochShare, Genesis, Transfer
from apps.ledger.rewards import PPM, Work
from tests.apps.ledger.cast import NOW, Fund, balances
from tests.apps.ledger.test_races import at_once

DAY = date(2026, 3, 2)
AFTER = datetime(2026, 3, 3, 0, 10, tzinfo=UTC)
GENESIS = {"timestamp": 1_772_366_400_000, "chain": {"blockSeconds": 600}}


class Records:
    """What nodes did, as the tests say."""

    def __init__(self) -> None:
        self.work: list[Work] = []
        self.asked: list[tuple[datetime, datetime]] = []

    def __call__(self, start: datetime, end: datetime) -> list[Work]:
        self.asked.append((start, end))
        return self.work

    def add(self, account: Account, node: str, *, is_new: bool = False, **changes: int) -> None:
        fields = {"tier": 1, "uptime_ppm": PPM, "quality_ppm": PPM, "nodes": 1} | changes
        self.work.append(Work(node=node, owner=account.owner, is_new=is_new, **fields))


@pytest.fixture
def records() -> Iterator[Records]:
    found, before = Records(), list(rewards._sources)
    rewards.register(found)
    yield found
    rewards._sources[:] = before


def document() -> dict:
    return Genesis.objects.get().document


def close(day: date = DAY) -> Epoch:
    return rewards.close(day, document(), AFTER)


def test_the_reward_halves_every_era_and_genesis_earns_nothing() -> None:
    heights = [0, 1, 209_999, 210_000, 419_999, 420_000, 210_000 * 32, 210_000 * 33, 10**18]
    assert [emission.reward_at(h) for h in heights] == [
        0,
        50 * MESH,
        50 * MESH,
        25 * MESH,
        25 * MESH,
        1_250_000_000,
        1,
        0,
        0,
    ]


@given(first=st.integers(0, 10**6), count=st.integers(0, 3_000))
def test_what_slots_emit_together_is_the_sum_of_each(first: int, count: int) -> None:
    assert emission.emitted(first, first + count) == sum(emission.reward_at(h) for h in range(first, first + count))


def test_all_slots_together_emit_less_than_the_cap() -> None:
    # Its first slot is genesis, and halves are rounded down.
    assert emission.emitted(0, 10**12) == 2_099_999_997_690_000 - 50 * MESH
    assert emission.pool_of(DAY, GENESIS, MAX_SUPPLY - 5) == 5
    assert emission.pool_of(DAY, GENESIS, MAX_SUPPLY) == 0


@given(
    seconds=st.sampled_from([1, 7, 10, 600, 100_000]),
    start=st.datetimes(datetime(2026, 1, 1), datetime(2026, 2, 1)),  # noqa: DTZ001
)
def test_every_slot_is_of_one_day(seconds: int, start: datetime) -> None:
    started = {"timestamp": int(start.replace(tzinfo=UTC).timestamp() * 1000), "chain": {"blockSeconds": seconds}}
    days = [start.date() + timedelta(days=i) for i in range(-1, 6)]
    spans = [emission.heights_of(day, started) for day in days]
    assert spans[0][0] == spans[0][1] == 1 or seconds == 1
    for (_, end), (begin, _) in pairwise(spans):
        assert end == begin
    for day, (first, last) in zip(days, spans, strict=True):
        for height in {first, last - 1} if last > first else set():
            at = started["timestamp"] + height * seconds * 1000
            assert datetime.fromtimestamp(at / 1000, UTC).date() == day


def test_a_day_of_ten_minute_blocks_emits_7200() -> None:
    assert emission.pool_of(DAY, GENESIS, 0) == 7_200 * MESH


@given(amount=st.integers(0, MAX_SUPPLY), weights=st.lists(st.integers(0, 5 * PPM**2), min_size=1, max_size=40))
def test_shares_are_exact_and_nobody_is_a_unit_off(amount: int, weights: list[int]) -> None:
    if not any(weights):
        weights[0] = 1
    shares = fees.proportional(amount, weights)
    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - Fraction(amount * weight, sum(weights))) < 1


def test_the_largest_remainder_gets_the_unit() -> None:
    assert fees.proportional(10, [1, 1, 1]) == [4, 3, 3]
    assert fees.proportional(100, [1, 5, 1]) == [14, 72, 14]
    assert fees.proportional(7, [0, 3, 0]) == [0, 7, 0]


def test_a_day_is_minted_once_and_shared_by_weight(
    started: Block, records: Records, ada: Account, bert: Account
) -> None:
    records.add(ada, "node_a", tier=5, uptime_ppm=990_000, quality_ppm=950_000)
    records.add(bert, "node_b", tier=1)
    epoch = close()
    weights = [5 * 990_000 * 950_000, PPM**2]
    shares = fees.proportional(epoch.pool, weights)
    assert (epoch.pool, epoch.minted) == (432_000 * MESH, 432_000 * MESH)
    assert balances(ada, bert, accounts.escrow("epoch")) == [*shares, 0]
    assert [share.weight for share in EpochShare.objects.order_by("node")] == weights
    minted = Transfer.objects.get(pk=rewards.mint_id(DAY))
    assert (minted.kind, minted.amount, minted.memo) == ("emission", epoch.pool, "2026-03-02")
    before = Transfer.objects.count()
    records.add(bert, "node_c")
    assert close() == epoch
    assert Transfer.objects.count() == before
    assert records.asked == [(datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC))]
    assert audit.run(NOW).ok


def test_more_nodes_under_one_stake_share_one_weight(
    started: Block, records: Records, ada: Account, bert: Account
) -> None:
    for i in range(4):
        records.add(ada, f"node_a{i}", nodes=4)
    records.add(bert, "node_b")
    close()
    assert balances(ada, bert) == [216_000 * MESH, 216_000 * MESH]


@pytest.mark.parametrize("change", [{"uptime_ppm": 0}, {"quality_ppm": 0}])
def test_without_weight_nothing_is_minted(
    started: Block, records: Records, ada: Account, change: dict[str, int]
) -> None:
    records.add(ada, "node_a", **change)
    epoch = close()
    assert (epoch.pool, epoch.minted) == (432_000 * MESH, 0)
    assert not Transfer.objects.filter(kind="emission").exists()


def test_emission_stops_at_the_cap(started: Block, records: Records, ada: Account, bert: Account, fund: Fund) -> None:
    minted, _ = blocks.supply()
    fund(bert, MAX_SUPPLY - minted - 7)
    records.add(ada, "node_a")
    assert close().minted == 7
    assert balances(ada) == [7]
    assert close(DAY + timedelta(days=1)).minted == 0
    assert blocks.supply()[0] == MAX_SUPPLY
    assert audit.run(NOW).ok


def test_days_are_settled_in_order_once_they_are_over(started: Block, records: Records, ada: Account) -> None:
    records.add(ada, "node_a")
    assert rewards.close_due(datetime(2026, 3, 2, 0, 9, tzinfo=UTC)) == []
    assert [e.day.day for e in rewards.close_due(datetime(2026, 3, 2, 0, 10, tzinfo=UTC))] == [1]
    assert [e.day.day for e in rewards.close_due(AFTER + timedelta(days=2))] == [2, 3, 4]
    assert rewards.close_due(AFTER + timedelta(days=2)) == []
    first = Epoch.objects.get(pk=date(2026, 3, 1))
    assert (first.first_height, first.last_height) == (1, 4_320)


def test_without_genesis_no_day_is_settled(db: None) -> None:
    assert rewards.close_due(AFTER) == []


def test_half_of_a_new_nodes_reward_waits_a_week(started: Block, records: Records, ada: Account, bert: Account) -> None:
    records.add(ada, "node_a", is_new=True, nodes=2)
    records.add(ada, "node_b", nodes=2)
    records.add(bert, "node_c", is_new=True, uptime_ppm=1, tier=3)
    epoch = close()
    shares = {share.node: share for share in EpochShare.objects.all()}
    assert shares["node_a"].escrowed == shares["node_a"].amount // 2
    assert shares["node_b"].escrowed == 0
    kept = accounts.escrow(ada.owner)
    assert balances(kept) == [shares["node_a"].escrowed]
    assert sum(balances(ada, bert, kept, accounts.escrow(bert.owner))) == epoch.minted
    assert escrow.release_due(now=AFTER + timedelta(days=7, seconds=-1)) == []
    assert {moved.credit for moved in escrow.release_due(now=AFTER + timedelta(days=7))} == {ada, bert}
    assert escrow.release_due(now=AFTER + timedelta(days=7)) == []
    assert balances(kept) == [0]
    assert audit.run(NOW).ok


def test_what_came_first_is_released_first(started: Block, records: Records, ada: Account) -> None:
    records.add(ada, "node_a", is_new=True)
    for i in range(3):
        rewards.close(DAY + timedelta(days=i), document(), AFTER + timedelta(days=i))
    half = 216_000 * MESH
    assert [(w.amount, w.release_at) for w in escrow.waiting(ada.owner)] == [
        (half, AFTER + timedelta(days=7 + i)) for i in range(3)
    ]
    [moved] = escrow.release_due(now=AFTER + timedelta(days=8))
    assert moved.amount == 2 * half
    assert [w.release_at for w in escrow.waiting(ada.owner)] == [AFTER + timedelta(days=9)]
    assert escrow.waiting("user:987654") == []


@pytest.mark.django_db(transaction=True)
def test_a_day_settled_by_many_at_once_is_minted_once(
    started: Block, records: Records, ada: Account, bert: Account
) -> None:
    records.add(ada, "node_a", is_new=True)
    records.add(bert, "node_b")
    assert len({epoch.minted for epoch in at_once(lambda i: close())}) == 1
    assert Transfer.objects.filter(kind="emission").count() == 1
    assert blocks.supply()[0] == (2_100_000 + 432_000) * MESH


@pytest.mark.django_db(transaction=True)
def test_escrow_released_by_many_at_once_is_released_once(started: Block, records: Records, ada: Account) -> None:
    records.add(ada, "node_a", is_new=True)
    close()
    at_once(lambda i: escrow.release_due(now=AFTER + timedelta(days=7)))
    assert Transfer.objects.filter(kind="escrow.release").count() == 1
    assert balances(ada, accounts.escrow(ada.owner)) == [432_000 * MESH, 0]
