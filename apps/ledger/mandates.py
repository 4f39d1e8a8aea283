"""Spending mandates: a wallet signs once that a spender may have so much held from its account until a day.

What a mandate has left follows from its holds: what they set aside, less what they gave back.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models, transaction

from apps.core import events
from apps.core.models import User
from apps.ledger import accounts, amounts, holds, orders, user_transfers
from apps.ledger.errors import (
    MandateDiffers,
    MandateExceeded,
    MandateExpired,
    MandateRevoked,
    MandateUnknown,
    OrderExpired,
    OrderMalformed,
    SignerUnknown,
)
from apps.ledger.models import Hold, Mandate, MandateDraw
from apps.ledger.retries import retried
from workers.protocol.clock import from_unix_ms, unix_ms
from workers.protocol.ids import parse_uuid, show_uuid

PURPOSE = "mandate"
FIELDS = {"spender": str, "cap": str, "expires": int}
PREFIX = "mdt"
# Ten years: beyond that, a mandate that "expires" does not.
LONGEST_MS = 10 * 365 * 86_400_000


@dataclass(frozen=True)
class Draw:
    """A hold to place on a mandate; the rest is as in `holds.place`."""

    id: UUID
    amount: int
    purpose: str
    request: str
    expires_at: datetime


@retried
def give(user: User, document: Any, signature: str, now: datetime) -> Mandate:
    """Take a signed mandate: `spender` (a wallet's address or a ledger account), `cap` in MESH, `expires` in unix ms.

    The same order again returns the mandate. Raises what `orders.read` and `orders.use` raise, AmountMalformed,
    PayeeUnknown for an unknown spender, MandateDiffers, or SignerUnknown for an account that was closed meanwhile.
    """
    order = orders.read(document, signature, purpose=PURPOSE, fields=FIELDS, user=user)
    cap = amounts.parse_signed(document["cap"])
    if document["expires"] > unix_ms(now) + LONGEST_MS:
        raise OrderMalformed("expires is at most ten years ahead.")
    with transaction.atomic():
        # First, as the deletion of an account does, which revokes what it finds.
        if User.objects.locked(user.pk) is None:
            raise SignerUnknown(user_transfers.CLOSED)
        spender = user_transfers.payee(document["spender"]).owner
        last = orders.lock(order)
        if known := Mandate.objects.filter(pk=order.id).first():
            if (known.cap, known.spender, known.document["expires"]) != (cap, spender, document["expires"]):
                raise MandateDiffers
            return known
        if document["expires"] <= unix_ms(now):
            raise OrderExpired("The mandate would have expired already.")
        orders.use(order, last, now)
        made = Mandate.objects.create(
            id=order.id,
            payer=accounts.wallet(user),
            spender=spender,
            wallet=order.signer.address,
            cap=cap,
            document=order.document,
            signature=signature,
            created_at=now,
            expires_at=from_unix_ms(document["expires"]),
        )
        _tell("mandate.given", made, user, now)
    return made


@retried
@transaction.atomic
def place(mandate_id: str, spender: User, draw: Draw, now: datetime) -> Hold:
    """Place a hold on the account behind a mandate. Needs no balance of the spender's.

    Raises MandateUnknown (or given to somebody else), MandateRevoked, MandateExpired, MandateExceeded, and what
    `holds.place` raises.
    """
    # Locked, so that holds placed at once see each other's share of the cap.
    rows = Mandate.objects.select_for_update(of=("self",), no_key=True).select_related("payer")
    mandate = rows.filter(pk=key_of(mandate_id), spender=accounts.owner_of(spender)).first()
    if mandate is None:
        raise MandateUnknown
    if not MandateDraw.objects.filter(pk=draw.id, mandate=mandate).exists():
        _check(mandate, draw.amount, now)
    hold = holds.place(
        id=draw.id,
        payer=mandate.payer,
        amount=draw.amount,
        purpose=draw.purpose,
        authorisation={
            "by": "mandate",
            "mandate": show_uuid(PREFIX, mandate.pk),
            "request": draw.request,
            "user": spender.pk,
        },
        expires_at=draw.expires_at,
        now=now,
    )
    MandateDraw.objects.get_or_create(hold=hold, defaults={"mandate": mandate})
    return hold


def _check(mandate: Mandate, amount: int, now: datetime) -> None:
    if mandate.revoked_at is not None:
        raise MandateRevoked
    payer = accounts.user_of(mandate.payer)
    if payer is None or not payer.is_active:
        raise MandateRevoked("The account behind the mandate is closed. Pay with another.")
    if mandate.expires_at <= now:
        raise MandateExpired
    left = mandate.cap - used(mandate)
    if amount > left:
        shown = amounts.show(max(left, 0))
        raise MandateExceeded(f"The mandate has {shown} MESH left, and this asks for {amounts.show(amount)}.")


def used(mandate: Mandate) -> int:
    """Base units that its holds have set aside or paid; what they gave back does not count."""
    spent = models.Sum(models.F("hold__amount") - models.F("hold__released"))
    return int(mandate.draws.aggregate(spent=spent)["spent"] or 0)


@retried
@transaction.atomic
def revoke(mandate_id: str, user: User, now: datetime) -> Mandate:
    """End a mandate of the user's own wallet: nothing more is held on it; what is held runs its course.

    Raises MandateUnknown.
    """
    rows = Mandate.objects.select_for_update(of=("self",), no_key=True).select_related("payer")
    mandate = rows.filter(pk=key_of(mandate_id), payer__owner=accounts.owner_of(user)).first()
    if mandate is None:
        raise MandateUnknown
    if mandate.revoked_at is None:
        mandate.revoked_at = now
        mandate.save(update_fields=["revoked_at"])
        _tell("mandate.revoked", mandate, user, now)
    return mandate


def of(user: User) -> models.QuerySet[Mandate]:
    """The mandates that a user gave or may spend, the newest first."""
    owner = accounts.owner_of(user)
    both = models.Q(payer__owner=owner) | models.Q(spender=owner)
    return Mandate.objects.filter(both).select_related("payer")


def key_of(mandate_id: str) -> UUID:
    """The key behind `mdt_…`; raises MandateUnknown."""
    try:
        return parse_uuid(PREFIX, mandate_id)
    except ValueError:
        raise MandateUnknown from None


def _tell(kind: str, mandate: Mandate, user: User, now: datetime) -> None:
    topics = [f"user.{user.pk}", mandate.spender.replace(":", ".", 1)]
    data = {"cap": str(mandate.cap), "spender": mandate.spender}
    events.emit(kind, subject=show_uuid(PREFIX, mandate.pk), topics=topics, data=data, now=now, actor=user)
