"""Many connections at once: every outcome is one that some order of them explains."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import TypeVar
from uuid import uuid4

import pytest
from django.db import connection, transaction

from apps.ledger import accounts, audit, blocks, holds
from apps.ledger.audit import rows
from apps.ledger.errors import HoldClosed, LedgerError
from apps.ledger.models import Account, Block, Entry, Hold, HoldStatus, Pending, Transfer
from apps.ledger.posting import NewTransfer, post
from tests.apps.ledger.cast import BY, NOW, Fund, balances, move
from tests.apps.ledger.killing import kill_everywhere

pytestmark = pytest.mark.django_db(transaction=True)
LATER = NOW + timedelta(hours=1)
T = TypeVar("T")


def at_once(work: Callable[[int], T], count: int = 8) -> list[T]:
    """Run `work(i)` in as many connections, all let go together."""
    start = Barrier(count)

    def one(i: int) -> T:
        start.wait()
        try:
            return work(i)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def posted(*batch: NewTransfer, linked: bool = True) -> list[str]:
    with transaction.atomic():
        return [result.code for result in post(batch, now=NOW, linked=linked)]


def place(payer: Account, amount: int, hold_id: object = None) -> Hold:
    return holds.place(
        id=hold_id or uuid4(),  # type: ignore[arg-type]
        payer=payer,
        amount=amount,
        purpose="job",
        authorisation=BY,
        expires_at=LATER,
        now=NOW,
    )


def sound() -> bool:
    return [check for check in rows.checks() if not check.ok] == []


def test_one_id_is_created_once(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 100)
    transfer = move(ada, bert, 10)
    codes = Counter(code for [code] in at_once(lambda i: posted(transfer)))
    assert codes == {"created": 1, "exists": 7}
    assert balances(ada, bert) == [90, 10]


def test_one_id_between_strangers_is_created_once(ada: Account, fund: Fund) -> None:
    payers = [accounts.account("wallet", f"payer-{i}") for i in range(8)]
    payees = [accounts.account("wallet", f"payee-{i}") for i in range(8)]
    for payer in payers:
        fund(payer, 10)
    one = uuid4()
    codes = Counter(code for [code] in at_once(lambda i: posted(move(payers[i], payees[i], 1, id=one))))
    assert codes == {"created": 1, "exists_with_different_debit": 7}
    assert sum(balances(*payees)) == 1


def test_an_account_is_never_overdrawn_by_many(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 100)
    batches = at_once(lambda i: [posted(move(ada, bert, 7))[0] for _ in range(5)])
    codes = Counter(code for batch in batches for code in batch)
    assert codes == {"created": 14, "overdraft": 26}
    assert balances(ada, bert) == [2, 98]


def test_payments_in_circles_never_wait_for_each_other(fund: Fund) -> None:
    ring = [accounts.account("wallet", f"ring-{i}") for i in range(8)]
    for member in ring:
        fund(member, 1_000)

    def pay_round(i: int) -> None:
        turned = ring[i:] + ring[:i]
        for _ in range(10):
            posted(*(move(a, b, 1) for a, b in zip(turned, turned[1:] + turned[:1], strict=True)))

    at_once(pay_round)
    assert balances(*ring) == [1_000] * 8
    assert sound()


def test_a_batch_and_its_retry_are_posted_once(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 1_000)
    batch = [move(ada, bert, 1) for _ in range(100)]
    codes = Counter(code for part in at_once(lambda i: posted(*batch, linked=False), 4) for code in part)
    assert codes == {"created": 100, "exists": 300}
    assert balances(bert) == [100]


def test_one_hold_is_placed_once(ada: Account, fund: Fund) -> None:
    fund(ada, 100)
    one = uuid4()
    placed = at_once(lambda i: place(ada, 30, one))
    assert {hold.pk for hold in placed} == {one}
    assert balances(ada) == [70]


def test_one_leg_is_paid_once(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 100)
    hold = place(ada, 100)
    leg = holds.Leg(uuid4(), bert.pk, 40, "fee.provider")
    at_once(lambda i: holds.settle(hold.pk, [leg], now=NOW))
    assert balances(bert) == [40]
    assert Hold.objects.get(pk=hold.pk).settled == 40


def test_a_hold_pays_no_more_than_it_has_to_many(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 200)
    hold = place(ada, 100)
    place(ada, 100)

    def settle(i: int) -> str:
        [outcome] = holds.settle_many(
            [holds.Settlement(hold.pk, [holds.Leg(uuid4(), bert.pk, 30, "fee.provider")])], now=NOW
        )
        return outcome.code

    assert Counter(at_once(settle)) == {"settled": 3, "hold_exceeded": 5}
    assert balances(bert) == [90]
    assert sound()


def test_settling_and_voiding_race_without_losing_a_unit(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 1_000)
    for _ in range(5):
        hold = place(ada, 100)

        def work(i: int, hold: Hold = hold) -> str:
            try:
                if i % 4 == 0:
                    holds.void(hold.pk, now=NOW)
                elif i % 4 == 1:
                    holds.expire_due(now=LATER)
                else:
                    holds.settle(hold.pk, [holds.Leg(uuid4(), bert.pk, 10, "fee.provider")], now=NOW)
            except HoldClosed as error:
                return error.code
            return "done"

        at_once(work)
        hold.refresh_from_db()
        assert hold.status in {HoldStatus.VOIDED, HoldStatus.EXPIRED}
        assert hold.settled + hold.released == 100
    assert sum(balances(ada, bert)) == 1_000
    assert sound()


def test_one_sequencer_seals_while_others_post(started: Block, ada: Account, bert: Account) -> None:
    treasury = accounts.system("treasury")

    def work(i: int) -> int:
        if i < 2:
            sealed = [blocks.seal_due(NOW + timedelta(seconds=10 * (n + 1))) for n in range(20)]
            return sum(block.count for block in sealed if block)
        for _ in range(20):
            posted(move(treasury, ada, 1), move(treasury, bert, 1))
        return 0

    sealed = sum(at_once(work))
    last = blocks.seal_due(NOW + timedelta(seconds=1_000))
    assert last is not None
    assert sealed + last.count == 240
    assert not Pending.objects.exists()
    assert audit.run(NOW).ok


def state() -> list[object]:
    return [
        sorted(model.objects.values_list())  # type: ignore[attr-defined]
        for model in (Account, Transfer, Entry, Hold, Pending)
    ]


@pytest.mark.parametrize("step", ["place", "settle", "void", "expire"])
def test_a_process_killed_between_statements_leaves_nothing_half_done(
    ada: Account, bert: Account, fund: Fund, step: str
) -> None:
    fund(ada, 100)
    accounts.held_for(ada)
    hold, new = place(ada, 60), uuid4()
    work: dict[str, Callable[[], object]] = {
        "place": lambda: place(ada, 40, new),
        "settle": lambda: holds.settle(hold.pk, [holds.Leg(new, bert.pk, 60, "fee.provider")], now=NOW),
        "void": lambda: holds.void(hold.pk, now=NOW),
        "expire": lambda: holds.expire_due(now=LATER),
    }
    # What the dead ones had locked is free again, or the last one could not end.
    kill_everywhere(work[step], state)
    assert sound()


def test_an_error_in_the_middle_leaves_nothing(ada: Account, bert: Account, fund: Fund) -> None:
    fund(ada, 100)
    hold = place(ada, 60)
    before = state()
    good = holds.Leg(uuid4(), bert.pk, 10, "fee.provider")
    with pytest.raises(LedgerError):
        holds.settle(hold.pk, [good, replace(good, id=uuid4(), amount=51)], now=NOW)
    assert state() == before
