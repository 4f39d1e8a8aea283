"""Rewards in escrow: what came in first is released first, seven days after it came.

There is no table of deposits. An escrow account's entries say what came in and when, and what was released.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Sum

from apps.core import parameters
from apps.ledger import accounts
from apps.ledger.ids import named
from apps.ledger.models import Account, AccountKind, Entry, Transfer, authorised_by_platform
from apps.ledger.posting import NewTransfer, post_all
from apps.ledger.retries import retried

DEPOSIT = "reward.escrow"


@dataclass(frozen=True)
class Waiting:
    """Base units in escrow, and when they are released."""

    amount: int
    release_at: datetime


def time_in_escrow() -> timedelta:
    """How long a new node's half waits."""
    return timedelta(seconds=parameters.get("rewards.escrow_s"))


def waiting(owner: str) -> list[Waiting]:
    """What of an owner's rewards is in escrow, the next to be released first."""
    account = Account.objects.filter(kind=AccountKind.ESCROW, owner=owner).first()
    if account is None or account.balance == 0:
        return []
    deposits = Transfer.objects.filter(credit=account, kind=DEPOSIT).order_by("-seq")
    left, found = account.balance, []
    # The newest deposits are what is left, since the oldest leave first.
    for amount, at in deposits.values_list("amount", "at").iterator(chunk_size=200):
        found.append(Waiting(min(amount, left), at + time_in_escrow()))
        left -= found[-1].amount
        if not left:
            break
    return found[::-1]


def release_due(*, now: datetime) -> list[Transfer]:
    """Release what has waited long enough, account by account."""
    full = Account.objects.filter(kind=AccountKind.ESCROW, owner__startswith="user:", balance__gt=0).order_by("pk")
    return [moved for account in full if (moved := release(account, now=now))]


@retried
@transaction.atomic
def release(account: Account, *, now: datetime) -> Transfer | None:
    """Pay an owner what came into their escrow account seven days ago or earlier and is still there."""
    cut = now - time_in_escrow()
    wallet = accounts.account(AccountKind.WALLET, account.owner)
    account, wallet = accounts.lock(account, wallet)
    entries = Entry.objects.filter(account=account)
    came = entries.filter(amount__gt=0, transfer__at__lte=cut).aggregate(units=Sum("amount", default=0))["units"]
    left = -entries.filter(amount__lt=0).aggregate(units=Sum("amount", default=0))["units"]
    due = came - left
    if due <= 0:
        return None
    # So much had left before: that names this release, and no second one.
    moved = NewTransfer(
        id=named("escrow", account.owner, str(left)),
        debit=account.pk,
        credit=wallet.pk,
        amount=due,
        kind="escrow.release",
        authorisation=authorised_by_platform(f"escrow:{account.owner}"),
        memo=str(left),
    )
    post_all([moved], now=now)
    return Transfer.objects.get(pk=moved.id)
