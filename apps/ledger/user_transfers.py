"""People pay each other: from wallet to wallet, on the payer's signed order."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from apps.core import events
from apps.core.models import User
from apps.ledger import accounts, amounts, orders, signers
from apps.ledger.errors import PayeeUnknown, PostingRefused, SignerUnknown
from apps.ledger.models import Account, AccountKind, Transfer
from apps.ledger.posting import NewTransfer, post_all
from apps.ledger.retries import retried

PURPOSE = "transfer"
KIND = "transfer"
CLOSED = "The wallet's account is closed."
FIELDS = {"to": str, "amount": str, "memo": str}
REFUSALS = {
    "same_account": "A wallet cannot pay itself.",
    "exists_with_different_credit": "A transfer with that id went to somebody else. Choose another id.",
    "exists_with_different_amount": "A transfer with that id moved another amount. Choose another id.",
    "exists_with_different_memo": "A transfer with that id has another memo. Choose another id.",
}


@dataclass(frozen=True)
class Sent:
    """The transfer, and whether this call made it (`created`) or an earlier one of the same content (`exists`)."""

    transfer: Transfer
    code: str


@retried
def send(user: User, document: Any, signature: str, now: datetime) -> Sent:
    """Obey a signed order to pay: `to` (a wallet's address, or a ledger account as `wallet:user:7`), `amount`, `memo`.

    Raises what `orders.read` and `orders.use` raise, AmountMalformed, PayeeUnknown, SignerUnknown for an account that
    was closed meanwhile, InsufficientFunds, or PostingRefused with the code same_account or
    exists_with_different_<field>. Nothing has happened then.
    """
    order = orders.read(document, signature, purpose=PURPOSE, fields=FIELDS, user=user)
    units = amounts.parse_signed(document["amount"])
    with transaction.atomic():
        to = _lock_both(user, document["to"])
        moved = NewTransfer(
            id=order.id,
            debit=accounts.wallet(user).pk,
            credit=to.pk,
            amount=units,
            kind=KIND,
            authorisation=order.authorisation,
            memo=document["memo"],
        )
        # Looked up under the lock: the same order sent twice at once is a transfer and a replay, not a wrong nonce.
        last = orders.lock(order)
        if not Transfer.objects.filter(pk=order.id).exists():
            orders.use(order, last, now)
        code = _posted(moved, now)
        if code == "created":
            _tell(moved, user, to, now)
    return Sent(Transfer.objects.select_related("debit", "credit").get(pk=order.id), code)


def _lock_both(user: User, to: str) -> Account:
    """The payee's wallet; payer and payee are locked until commit: the deletion of either waits, or is found done."""
    payee_pk = _person(to)
    # In the order of their numbers, so that two who pay each other never wait for each other.
    found = {pk: User.objects.locked(pk) for pk in sorted({user.pk, payee_pk})}
    if found[user.pk] is None:
        raise SignerUnknown(CLOSED)
    if (payee := found[payee_pk]) is None:
        raise PayeeUnknown
    return accounts.wallet(payee)


def payee(to: str) -> Account:
    """The wallet account that `to` names; raises PayeeUnknown."""
    found = User.objects.filter(pk=_person(to), is_active=True).first()
    if found is None:
        raise PayeeUnknown
    return accounts.wallet(found)


def _person(to: str) -> int:
    """The number in `wallet:user:7`, or of the user who bound the wallet of that address; raises PayeeUnknown."""
    signer = signers.find(to)
    kind, _, owner = to.partition(":") if signer is None else (AccountKind.WALLET, "", signer.owner)
    family, _, key = owner.partition(":")
    known = key.isascii() and key.isdigit() and len(key) <= 18 and str(int(key)) == key
    if (kind, family) != (AccountKind.WALLET, "user") or not known:
        raise PayeeUnknown
    return int(key)


def _posted(moved: NewTransfer, now: datetime) -> str:
    try:
        [result] = post_all([moved], now=now)
    except PostingRefused as refusal:
        if refusal.code not in REFUSALS:
            raise
        raise PostingRefused(REFUSALS[refusal.code], code=refusal.code) from None
    return result.code


def _tell(moved: NewTransfer, user: User, to: Account, now: datetime) -> None:
    events.emit(
        "transfer.sent",
        subject=str(moved.id),
        topics=[f"user.{user.pk}", to.owner.replace(":", ".", 1)],
        data={"amount": str(moved.amount), "to": to.address},
        now=now,
        actor=user,
    )
