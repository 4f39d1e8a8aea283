"""Transfers a second, in batches: posted as a set, beside the same rules by the ORM with `select_for_update`."""

import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from bench.network import database

ACCOUNTS = 10_000
FUNDS = 10**10
BATCH = 1_000
BATCHES = 20
ORM_BATCHES = 1
ROUNDS = 5
BY = {"by": "platform", "request": "bench"}


class Payment(NamedTuple):
    """Whom it leaves, whom it reaches, how much."""

    id: UUID
    payer: int
    payee: int
    amount: int


def measure() -> list[dict[str, Any]]:
    """Two figures: payers and payees spread over 10,000 accounts, and all of them paying one."""
    with database():
        accounts = funded()
        post_by_orm = orm(accounts)
        return [figure(name, accounts, post_by_orm) for name in ("transfers", "transfers_hot")]


def figure(name: str, accounts: list[int], post_by_orm: Callable[[list[Payment]], None]) -> dict[str, Any]:
    """The medians of alternating rounds; every batch is one transaction on one connection, on both sides."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        ours.append(rate(post_set, [batch(accounts, name) for _ in range(BATCHES)]))
        theirs.append(rate(post_by_orm, [batch(accounts, name) for _ in range(ORM_BATCHES)]))
    return {
        "figure": name,
        "ours": round(median(ours)),
        "unit": "transfers/s",
        "peer": "ORM, select_for_update",
        "theirs": round(median(theirs)),
        "ratio": median(ours) / median(theirs),
        "n": ROUNDS * BATCHES * BATCH,
        "note": f"batches of {BATCH}, one connection, each committed to disk; goal ≥ 20,000; django-hordak: missing",
    }


def batch(accounts: list[int], name: str) -> list[Payment]:
    """Payments between accounts by chance, or all to the first of them."""
    payers = random.choices(accounts[1:], k=BATCH)
    payees = random.choices(accounts[1:], k=BATCH) if name == "transfers" else [accounts[0]] * BATCH
    return [
        Payment(uuid4(), payer, payee if payee != payer else accounts[0], random.randint(1, 1000))
        for payer, payee in zip(payers, payees, strict=True)
    ]


def rate(post: Callable[[list[Payment]], None], batches: list[list[Payment]]) -> float:
    """Transfers a second; making the batches is not counted."""
    start = time.perf_counter()
    for payments in batches:
        post(payments)
    return sum(map(len, batches)) / (time.perf_counter() - start)


def funded() -> list[int]:
    """Accounts that can pay, by id."""
    from django.db import connection

    from apps.ledger import accounts
    from apps.ledger.models import Account

    mint = accounts.system("mint").pk
    wallets = Account.objects.bulk_create(Account(kind="wallet", owner=f"bench:{i}") for i in range(ACCOUNTS))
    ids = [wallet.pk for wallet in wallets]
    for start in range(0, ACCOUNTS, BATCH):
        post_set([Payment(uuid4(), mint, wallet, FUNDS) for wallet in ids[start : start + BATCH]])
    with connection.cursor() as cursor:
        cursor.execute("vacuum analyze ledger_account, ledger_transfer, ledger_entry")
    return ids


def post_set(payments: list[Payment]) -> None:
    """As the platform does it."""
    from django.db import transaction

    from apps.ledger.posting import NewTransfer, post
    from workers.protocol.clock import utcnow

    new = [NewTransfer(p.id, p.payer, p.payee, p.amount, "bench", BY) for p in payments]
    with transaction.atomic():
        codes = {result.code for result in post(new, now=utcnow(), linked=False)}
    assert codes == {"created"}


def orm(account_ids: list[int]) -> Callable[[list[Payment]], None]:
    """The same rules as Django applications commonly write them, on tables of its own."""
    from django.db import connection, models, transaction

    class BenchAccount(models.Model):  # noqa: DJ008
        balance = models.BigIntegerField()

        class Meta:
            app_label = "bench"

    class BenchTransfer(models.Model):  # noqa: DJ008
        id = models.UUIDField(primary_key=True)
        amount = models.BigIntegerField()
        at = models.DateTimeField(auto_now_add=True)

        class Meta:
            app_label = "bench"

    class BenchEntry(models.Model):  # noqa: DJ008
        transfer = models.ForeignKey(BenchTransfer, on_delete=models.PROTECT)
        account = models.ForeignKey(BenchAccount, on_delete=models.PROTECT)
        amount = models.BigIntegerField()

        class Meta:
            app_label = "bench"

    with connection.schema_editor() as editor:
        for model in (BenchAccount, BenchTransfer, BenchEntry):
            editor.create_model(model)
    BenchAccount.objects.bulk_create(BenchAccount(pk=i, balance=FUNDS) for i in account_ids)

    @transaction.atomic
    def post(payments: list[Payment]) -> None:
        for payment in payments:
            both = [payment.payer, payment.payee]
            held = {a.pk: a for a in BenchAccount.objects.select_for_update().filter(pk__in=both).order_by("pk")}
            transfer, created = BenchTransfer.objects.get_or_create(pk=payment.id, defaults={"amount": payment.amount})
            assert created
            assert held[payment.payer].balance >= payment.amount
            for account, amount in ((payment.payer, -payment.amount), (payment.payee, payment.amount)):
                held[account].balance += amount
                held[account].save(update_fields=["balance"])
                BenchEntry.objects.create(transfer=transfer, account_id=account, amount=amount)

    return post
