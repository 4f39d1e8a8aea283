"""Stakes: locked from a wallet, taken back after a time in which they can still be slashed.

A stake account's balance is what is bonded and what is unbonding together; the rows of `Unbonding` say which part is on
its way out and until when.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models, transaction

from apps.core import events, parameters
from apps.core.models import User
from apps.ledger import accounts
from apps.ledger.errors import AmountNotPositive, StakeExceeded, UnbondingOver, UnbondingUnknown
from apps.ledger.models import Account, AccountKind, Transfer, Unbonding, UnbondingStatus
from apps.ledger.posting import NewTransfer, post_all
from apps.ledger.retries import retried

RELEASE_AT_ONCE = 200


def unbonding_time() -> timedelta:
    """How long stake stays slashable after it was asked back; short on a test network alone."""
    name = "stake.unbonding_testnet_s" if settings.IS_TESTNET else "stake.unbonding_s"
    return timedelta(seconds=parameters.get(name))


def leaving(account: Account) -> int:
    """Base units on their way out."""
    left = models.Sum(models.F("amount") - models.F("slashed"))
    return int(Unbonding.objects.waiting().filter(account=account).aggregate(left=left)["left"] or 0)


def bonded(user: User) -> int:
    """What a user has at stake, apart from what is on its way out."""
    account = Account.objects.filter(kind=AccountKind.STAKE, owner=accounts.owner_of(user)).first()
    return account.balance - leaving(account) if account else 0


@transaction.atomic
def stake(user: User, amount: int, *, id: UUID, authorisation: dict[str, Any], now: datetime) -> Transfer:  # noqa: A002
    """Lock base units of a user's wallet. The same id again changes nothing.

    Raises InsufficientFunds or PostingRefused.
    """
    wallet, account = accounts.wallet(user), accounts.stake(user)
    moved = NewTransfer(id, wallet.pk, account.pk, amount, "stake.lock", authorisation)
    [result] = post_all([moved], now=now)
    if result.code == "created":
        _tell("stake.locked", str(id), user, amount, now)
    return Transfer.objects.get(pk=id)


@transaction.atomic
def unstake(user: User, amount: int, *, id: UUID, authorisation: dict[str, Any], now: datetime) -> Unbonding:  # noqa: A002
    """Begin to take stake back: nothing moves yet. The same id again returns what it began.

    Raises AmountNotPositive or StakeExceeded.
    """
    account = accounts.lock(accounts.stake(user))[0]
    if begun := Unbonding.objects.filter(pk=id, account=account, amount=amount).first():
        return begun
    if amount <= 0:
        raise AmountNotPositive
    if amount > account.balance - leaving(account):
        raise StakeExceeded
    row = Unbonding.objects.create(
        id=id,
        account=account,
        amount=amount,
        authorisation=authorisation,
        started_at=now,
        release_at=now + unbonding_time(),
    )
    _tell("stake.unbonding", str(id), user, amount, now)
    return row


@transaction.atomic
def cancel(user: User, unbonding_id: UUID, *, now: datetime) -> Unbonding:
    """Leave at stake what was asked back. Raises UnbondingUnknown, or UnbondingOver once its time has come."""
    account = accounts.lock(accounts.stake(user))[0]
    row = Unbonding.objects.filter(pk=unbonding_id, account=account).first()
    if row is None:
        raise UnbondingUnknown
    if row.status != UnbondingStatus.WAITING or row.release_at <= now:
        raise UnbondingOver
    row.status, row.ended_at = UnbondingStatus.CANCELLED, now
    row.save(update_fields=["status", "ended_at"])
    _tell("stake.kept", str(row.pk), user, row.remaining, now)
    return row


def release_due(*, now: datetime) -> list[Unbonding]:
    """Pay out the stakes whose time is over, each in a transaction of its own; at most 200."""
    due = list(Unbonding.objects.ready(now).values_list("pk", flat=True)[:RELEASE_AT_ONCE])
    return [row for key in due if (row := release(key, now=now))]


@retried
@transaction.atomic
def release(unbonding_id: UUID, *, now: datetime) -> Unbonding | None:
    """Pay one out; None where it is not due, or not waiting any more."""
    found = Unbonding.objects.select_related("account").get(pk=unbonding_id)
    wallet = accounts.account(AccountKind.WALLET, found.account.owner)
    # Before the row, in the order in which postings lock them; a slash takes the same lock.
    accounts.lock(found.account, wallet)
    row = Unbonding.objects.ready(now).filter(pk=unbonding_id).first()
    if row is None:
        return None
    row.status, row.ended_at = UnbondingStatus.RELEASED, now
    row.save(update_fields=["status", "ended_at"])
    moved = NewTransfer(
        row.pk, row.account_id, wallet.pk, row.remaining, "stake.release", row.authorisation, memo=str(row.pk)
    )
    post_all([moved], now=now)
    if user := accounts.user_of(found.account):
        _tell("stake.released", str(row.pk), user, row.remaining, now)
    return row


def _tell(kind: str, subject: str, user: User, amount: int, now: datetime) -> None:
    topics = [f"user.{user.pk}"]
    events.emit(kind, subject=subject, topics=topics, data={"amount": str(amount)}, now=now, actor=user)
