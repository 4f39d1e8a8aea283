"""Whatever is done to the ledger in whatever order, it agrees with a few dictionaries, and its audit passes."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from apps.ledger import accounts, holds
from apps.ledger.amounts import MAX_SUPPLY
from apps.ledger.audit import rows
from apps.ledger.errors import LedgerError
from apps.ledger.models import Account, Hold, Transfer, authorised_by_platform
from apps.ledger.posting import NewTransfer, post
from tests.apps.ledger.cast import BY, NOW
from tests.apps.ledger.model import Ledger

NOBODY = 987_654_321
ids = st.integers(1, 40).map(lambda n: UUID(int=n))
parties = st.sampled_from(["ada", "bert", "cleo", "mint", "mint", "nobody"])
amounts = st.one_of(st.integers(1, 60), st.sampled_from([0, -1, 500, MAX_SUPPLY, MAX_SUPPLY, MAX_SUPPLY + 1]))
words = st.sampled_from(["a", "b"])
transfers = st.tuples(ids, parties, parties, amounts, words, words)


class LedgerMachine(RuleBasedStateMachine):
    """Posts, holds, settles, voids and expires, on both."""

    def __init__(self) -> None:
        super().__init__()
        self.sandbox = transaction.atomic()
        self.sandbox.__enter__()
        wallets = {name: accounts.account("wallet", name) for name in ("ada", "bert", "cleo")}
        held = {f"hold:{name}": accounts.held_for(wallet) for name, wallet in wallets.items()}
        self.account = {**wallets, **held, "mint": accounts.system("mint")}
        self.ledger = Ledger(
            mint=self.account["mint"].pk, balances={account.pk: 0 for account in self.account.values()}
        )
        self.minutes = 0
        first = [(UUID(int=0), "mint", "ada", 100, "a", "a"), (UUID(int=99), "mint", "bert", 50, "a", "a")]
        self.run_batch(first, linked=True)

    def teardown(self) -> None:
        try:
            assert [check for check in rows.checks() if not check.ok] == []
        finally:
            transaction.set_rollback(True)
            self.sandbox.__exit__(None, None, None)

    def key(self, name: str) -> int:
        return self.account[name].pk if name in self.account else NOBODY

    def run_batch(self, batch: list[tuple[UUID, str, str, int, str, str]], linked: bool) -> None:
        made = [
            NewTransfer(id_, self.key(debit), self.key(credit), amount, kind, BY, memo)
            for id_, debit, credit, amount, kind, memo in batch
            # Nothing goes back to the mint: that is refused loudly, in a test of its own.
            if credit != "mint"
        ]
        assert [r.code for r in post(made, now=NOW, linked=linked)] == self.ledger.post(made, linked=linked)

    @rule(batch=st.lists(transfers, max_size=6), linked=st.booleans())
    def post_batch(self, batch: list[tuple[UUID, str, str, int, str, str]], linked: bool) -> None:
        self.run_batch(batch, linked)

    @rule(id_=ids, payer=st.sampled_from(["ada", "bert"]), amount=st.integers(0, 80), minutes=st.integers(1, 30))
    def place(self, id_: UUID, payer: str, amount: int, minutes: int) -> None:
        wallet, account = self.account[payer], self.account[f"hold:{payer}"]
        moved = NewTransfer(id_, wallet.pk, account.pk, amount, "hold.place", BY, "job", id_)
        expected = self.ledger.place(moved, self.minutes + minutes)
        expires = NOW + timedelta(minutes=self.minutes + minutes)
        try:
            holds.place(
                id=id_, payer=wallet, amount=amount, purpose="job", authorisation=BY, expires_at=expires, now=NOW
            )
            code = "open"
        except LedgerError as error:
            code = error.code
        assert code == expected

    @precondition(lambda self: self.ledger.holds)
    @rule(
        data=st.data(),
        legs=st.lists(
            st.tuples(ids, st.sampled_from(["ada", "bert", "cleo"]), st.one_of(st.none(), st.integers(1, 40))),
            max_size=3,
        ),
    )
    def settle(self, data: st.DataObject, legs: list[tuple[UUID, str, int | None]]) -> None:
        hold_id = data.draw(st.sampled_from(sorted(self.ledger.holds)))
        by = authorised_by_platform(f"hold:{hold_id}")
        held = self.ledger.holds[hold_id]
        paid = [
            NewTransfer(i, held.account, self.key(to), amount or held.remaining, "fee", by, "", hold_id)
            for i, to, amount in legs
        ]
        expected = self.ledger.settle(hold_id, paid)
        parts = [holds.Leg(t.id, t.credit, t.amount, t.kind) for t in paid]
        [outcome] = holds.settle_many([holds.Settlement(hold_id, parts)], now=NOW)
        assert outcome.code == expected

    @precondition(lambda self: self.ledger.holds)
    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        hold_id = data.draw(st.sampled_from(sorted(self.ledger.holds)))
        holds.void(hold_id, now=NOW)
        self.ledger.release(hold_id, "voided")

    @rule(minutes=st.integers(0, 20))
    def time_passes(self, minutes: int) -> None:
        self.minutes += minutes
        due = self.ledger.due(self.minutes)
        expired = holds.expire_due(now=NOW + timedelta(minutes=self.minutes))
        assert {hold.pk for hold in expired} == set(due)
        for hold_id in due:
            self.ledger.release(hold_id, "expired")

    @invariant()
    def balances_agree(self) -> None:
        assert dict(Account.objects.values_list("pk", "balance")) == self.ledger.balances

    @invariant()
    def holds_agree(self) -> None:
        real: dict[UUID, Any] = {
            hold.pk: (hold.status, hold.settled, hold.released, hold.remaining) for hold in Hold.objects.all()
        }
        assert real == {
            hold_id: (held.status, held.settled, held.released, held.remaining)
            for hold_id, held in self.ledger.holds.items()
        }

    @invariant()
    def transfers_agree(self) -> None:
        released = sum(1 for held in self.ledger.holds.values() if held.released)
        assert Transfer.objects.count() == len(self.ledger.transfers) + released


def play(examples: int, steps: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        LedgerMachine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks
        ),
    )


def test_the_ledger_agrees_with_its_model(db: None) -> None:
    play(examples=40, steps=25)


@pytest.mark.long
def test_the_ledger_agrees_with_its_model_for_long(db: None) -> None:
    play(examples=1_000, steps=60)
