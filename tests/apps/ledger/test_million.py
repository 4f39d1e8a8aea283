"""Transfers at random, by the thousand in every suite and by the million in the long one, end in a clean audit."""

import random
from collections import Counter
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.db import transaction

from apps.ledger import accounts, blocks, holds, settlement
from apps.ledger.audit.run import run_and_export
from apps.ledger.errors import HoldError
from apps.ledger.models import Account, Block, Hold, Transfer
from apps.ledger.posting import NewTransfer, post
from tests.apps.ledger.cast import BY, NOW
from tests.apps.ledger.tampering import broken, tamper
from workers.protocol.ledger_verify import Pins, verify_export

PEOPLE = 40
SLOT = timedelta(seconds=10)


class Market:
    """People who pay each other, hire each other and change their minds, by a dice whose seed is said."""

    def __init__(self, seed: int, batch: int) -> None:
        self.dice = random.Random(seed)
        self.batch = batch
        self.wallets = [accounts.account("wallet", f"user:{10**6 + i}") for i in range(PEOPLE)]
        self.treasury, self.burn = accounts.system("treasury"), accounts.system("burn")
        self.codes: Counter[str] = Counter()
        self.open: list[UUID] = []
        self.jobs = 0

    def key(self) -> UUID:
        return UUID(int=self.dice.getrandbits(128))

    def payment(self) -> NewTransfer:
        """Mostly from person to person; now and then grants, burnt money, nonsense, and far too much."""
        payer, payee = self.dice.choice([*self.wallets, self.treasury]), self.dice.choice([*self.wallets, self.burn])
        amount = self.dice.choice([0, 10**15]) if self.dice.random() < 0.01 else self.dice.randint(1, 10**5)
        return NewTransfer(self.key(), payer.pk, payee.pk, amount, "test", BY, f"{self.dice.random():.3f}")

    def pay(self) -> None:
        """A batch, linked now and then, of which some were sent before."""
        made = [self.payment() for _ in range(self.batch)]
        made += self.dice.sample(made, k=3)
        with transaction.atomic():
            linked = self.dice.random() < 0.1
            self.codes.update(result.code for result in post(made, now=NOW, linked=linked))

    def hire(self) -> None:
        """Money is set aside, and some of what was set aside before is paid out or given back."""
        payer = Account.objects.get(pk=self.dice.choice(self.wallets).pk)
        if payer.balance > 100:
            hold = self.key()
            amount = self.dice.randint(1, payer.balance // 2)
            later = NOW + timedelta(days=1)
            holds.place(id=hold, payer=payer, amount=amount, purpose="job", authorisation=BY, expires_at=later, now=NOW)
            self.open.append(hold)
        for hold in self.dice.sample(self.open, k=min(2, len(self.open))):
            self.jobs += 1
            left = Hold.objects.get(pk=hold).remaining
            try:
                providers = self.dice.sample(self.wallets, k=self.dice.randint(1, 3))
                paid = self.dice.randint(1, left + 1) if left else 1
                settlement.settle_chunk(
                    hold, task_id=f"tsk_{self.jobs}", provider_accounts=providers, amount=paid, now=NOW
                )
            except HoldError as error:
                self.codes[error.code] += 1
            if self.dice.random() < 0.3:
                holds.void(hold, now=NOW)


def play(total: int, batch: int, seed: int, path: Path) -> Market:
    """Until there are so many transfers; then everything is audited, exported, and verified without the database."""
    market, height = Market(seed, batch), 0
    with transaction.atomic():
        grants = [NewTransfer(market.key(), market.treasury.pk, w.pk, 10**8, "test", BY) for w in market.wallets]
        post(grants, now=NOW)
    while market.codes["created"] < total:
        market.pay()
        market.hire()
        if market.dice.random() < 0.3:
            height += market.dice.randint(1, 3)
            with transaction.atomic():
                blocks.seal(height, Block.objects.first(), NOW + height * SLOT)
    report, _written = run_and_export(NOW, path)
    assert [check for check in report.checks if not check.ok] == []
    assert report.transfers >= total
    verdict = verify_export(path, Pins(report.genesis))
    assert verdict.ok, verdict.found
    assert verdict.summary["state"] == report.state
    return market


def test_thousands_of_random_transfers_end_in_a_clean_audit(started: Block, tmp_path: Path) -> None:
    market = play(3_000, 300, 20_260_301, tmp_path / "ledger.zip")
    assert {"created", "overdraft", "amount_not_positive", "same_account", "id_repeated"} <= set(market.codes)
    assert market.jobs > 5


# Each batch is committed: a million in one transaction would keep every version of every account in the way.
@pytest.mark.long
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(3_600)
def test_a_million_random_transfers_end_in_a_clean_audit(started: Block, tmp_path: Path) -> None:
    market = play(1_000_000, 2_000, 7, tmp_path / "ledger.zip")
    assert {"created", "overdraft", "amount_not_positive", "same_account", "id_repeated"} <= set(market.codes)
    changed = Transfer.objects.sealed().filter(kind="test").order_by("seq")[500_000]
    with transaction.atomic():
        tamper("update ledger_transfer set amount = amount + 1 where seq = %s", changed.seq)
        found = broken()
        transaction.set_rollback(True)
    assert {"entries", "leaves", "roots", "history"} <= set(found)
    assert [name for name in found["leaves"] if str(changed.pk) in name] == found["leaves"]
