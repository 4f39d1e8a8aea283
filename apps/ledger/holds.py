"""Money in two steps: set aside now, paid or given back later. Every step is idempotent.

A payer's holds lie together on the payer's hold account, whose balance is what they have left; which part belongs to
which hold is in the rows of `Hold` and in the transfers that name them.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from django.db import transaction

from apps.ledger import accounts
from apps.ledger.errors import (
    HoldClosed,
    HoldDiffers,
    HoldExceeded,
    HoldUnknown,
    InsufficientFunds,
    LedgerError,
    PostingRefused,
)
from apps.ledger.models import HOLD_TRANSITIONS, Account, Hold, HoldStatus, authorised_by_platform
from apps.ledger.posting import NewTransfer, PostResult, post_all
from apps.ledger.retries import retried

EXPIRE_AT_ONCE = 500
InUse = Callable[[Collection[UUID]], set[UUID]]
_in_use: dict[str, InUse] = {}


@dataclass(frozen=True, slots=True)
class Leg:
    """One payment out of a hold. `id` is the transfer's, chosen by the caller; `credit` is an account's id."""

    id: UUID
    credit: int
    amount: int
    kind: str
    memo: str = ""


@dataclass(frozen=True, slots=True)
class Settlement:
    """Legs to pay out of one hold, all or none."""

    hold_id: UUID
    legs: Sequence[Leg]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one settlement: `settled`, or the code of the error that refused it."""

    hold_id: UUID
    code: str


def keep_while(purpose: str, in_use: InUse) -> None:
    """Say which holds of a purpose may not expire yet: `in_use(ids)` returns those whose work still runs."""
    _in_use[purpose] = in_use


@retried
@transaction.atomic
def place(  # noqa: PLR0913
    *,
    id: UUID,  # noqa: A002
    payer: Account,
    amount: int,
    purpose: str,
    authorisation: dict[str, Any],
    expires_at: datetime,
    now: datetime,
) -> Hold:
    """Set `amount` base units aside from the payer's account.

    The same id again returns the hold as it is by now. Raises InsufficientFunds, PostingRefused, or HoldDiffers where
    the id belongs to something else.
    """
    account = accounts.held_for(payer)
    moved = NewTransfer(id, payer.pk, account.pk, amount, "hold.place", authorisation, memo=purpose, hold=id)
    try:
        [result] = post_all([moved], now=now)
    except PostingRefused as refusal:
        if refusal.code.startswith("exists_with_different"):
            raise HoldDiffers from None
        raise
    if result.code == "exists":
        return Hold.objects.get(pk=id)
    return Hold.objects.create(
        id=id,
        payer=payer,
        account=account,
        amount=amount,
        purpose=purpose,
        authorisation=authorisation,
        placed_at=now,
        expires_at=expires_at,
    )


def settle(hold_id: UUID, legs: Sequence[Leg], *, now: datetime) -> list[PostResult]:
    """Pay legs out of a hold, all or none; the hold closes with its last unit.

    Legs that were paid before are not paid again, even from a closed hold. Raises HoldUnknown, HoldClosed,
    HoldExceeded, or PostingRefused.
    """
    return settle_together([Settlement(hold_id, legs)], now)


def settle_many(settlements: Sequence[Settlement], *, now: datetime) -> list[Outcome]:
    """Pay many settlements in one posting, each for itself: a batch with a refused one is halved until it is alone."""
    if not settlements:
        return []
    try:
        settle_together(settlements, now)
    except LedgerError as error:
        if len(settlements) == 1:
            return [Outcome(settlements[0].hold_id, error.code)]
        half = len(settlements) // 2
        return settle_many(settlements[:half], now=now) + settle_many(settlements[half:], now=now)
    return [Outcome(settlement.hold_id, "settled") for settlement in settlements]


@retried
@transaction.atomic
def void(hold_id: UUID, *, now: datetime) -> Hold:
    """Give the payer back what the hold has left; nothing happens to a closed one. Raises HoldUnknown."""
    hold = _locked([hold_id])[hold_id]
    if hold.status == HoldStatus.OPEN:
        _release([hold], HoldStatus.VOIDED, now)
    return hold


@retried
@transaction.atomic
def expire_due(*, now: datetime) -> list[Hold]:
    """Give back what is left of holds past their time, unless their work still runs; at most 500 at once."""
    due = Hold.objects.filter(status=HoldStatus.OPEN, expires_at__lte=now)
    used = {
        hold_id
        for purpose, in_use in _in_use.items()
        for hold_id in in_use(set(due.filter(purpose=purpose).values_list("pk", flat=True)))
    }
    # Those that a settlement has locked come next time.
    locked = due.exclude(pk__in=used).order_by("pk").select_for_update(of=("self",), no_key=True, skip_locked=True)
    expired = list(locked.select_related("payer", "account")[:EXPIRE_AT_ONCE])
    if expired:
        _release(expired, HoldStatus.EXPIRED, now)
    return expired


def _locked(hold_ids: Collection[UUID]) -> dict[UUID, Hold]:
    # In order of their ids, so that two settlements of the same holds never wait for each other.
    rows = Hold.objects.filter(pk__in=hold_ids).order_by("pk").select_for_update(of=("self",), no_key=True)
    found = {hold.pk: hold for hold in rows}
    if len(found) < len(set(hold_ids)):
        raise HoldUnknown
    return found


@retried
@transaction.atomic
def settle_together(settlements: Sequence[Settlement], now: datetime) -> list[PostResult]:
    """Pay settlements of several holds, all or none. Raises what `settle` raises."""
    held = _locked({settlement.hold_id for settlement in settlements})
    payments = [_payment(held[settlement.hold_id], leg) for settlement in settlements for leg in settlement.legs]
    try:
        results = post_all(payments, now=now)
    except InsufficientFunds:
        # A hold account is as full as its open holds, so one of these asks for more than it has.
        raise (HoldExceeded if all(h.status == HoldStatus.OPEN for h in held.values()) else HoldClosed) from None
    spent: Counter[UUID] = Counter()
    for payment, result in zip(payments, results, strict=True):
        if result.code == "created" and payment.hold is not None:
            spent[payment.hold] += payment.amount
    changed = [held[hold_id] for hold_id in spent]
    for hold in changed:
        _spend(hold, spent[hold.pk], now)
    Hold.objects.bulk_update(changed, ["settled", "status", "closed_at"])
    return results


def _payment(hold: Hold, leg: Leg) -> NewTransfer:
    authorisation = authorised_by_platform(f"hold:{hold.pk}")
    return NewTransfer(leg.id, hold.account_id, leg.credit, leg.amount, leg.kind, authorisation, leg.memo, hold.pk)


def _spend(hold: Hold, amount: int, now: datetime) -> None:
    if hold.status != HoldStatus.OPEN:
        raise HoldClosed
    if amount > hold.remaining:
        raise HoldExceeded
    hold.settled += amount
    if hold.remaining == 0:
        _close(hold, HoldStatus.SETTLED, now)


def _release(holds: Sequence[Hold], status: HoldStatus, now: datetime) -> None:
    """Move what each open, locked hold has left back to its payer, and close it."""
    back = [
        NewTransfer(
            id=uuid5(hold.pk, "release"),
            debit=hold.account_id,
            credit=hold.payer_id,
            amount=hold.remaining,
            kind="hold.void" if status == HoldStatus.VOIDED else "hold.expire",
            authorisation=authorised_by_platform(f"hold:{hold.pk}"),
            hold=hold.pk,
        )
        for hold in holds
    ]
    post_all(back, now=now)
    for hold in holds:
        hold.released = hold.remaining
        _close(hold, status, now)
    Hold.objects.bulk_update(holds, ["released", "status", "closed_at"])


def _close(hold: Hold, status: HoldStatus, now: datetime) -> None:
    if status not in HOLD_TRANSITIONS[HoldStatus(hold.status)]:
        raise HoldClosed
    hold.status, hold.closed_at = status, now
