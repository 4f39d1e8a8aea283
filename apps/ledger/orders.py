"""Orders that a wallet signs: what they must say, and that each is obeyed once.

An order is a document of `net`, `purpose`, `wallet` (address), `nonce`, `deadline` (unix ms), `id` (its maker's word)
and the fields of its purpose, all texts but the two numbers. The wallet signs its canonical form. Nonces of a wallet
count up by one over all purposes, so that an order is obeyed once and in order.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core import platform_keys
from apps.core.models import User
from apps.ledger import accounts, signers
from apps.ledger.errors import (
    ForeignAccount,
    NonceWrong,
    OrderExpired,
    OrderMalformed,
    SignatureInvalid,
    WrongNetwork,
    WrongPurpose,
)
from apps.ledger.ids import named
from apps.ledger.models import SignerNonce
from workers.protocol import canonical
from workers.protocol.clock import unix_ms
from workers.protocol.errors import ProtocolError
from workers.protocol.keys import b64, unb64, verify

COMMON = {"net": str, "purpose": str, "wallet": str, "nonce": int, "deadline": int, "id": str}
LONGEST = 200
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Order:
    """A document whose signature was checked, and the wallet that signed it."""

    document: Mapping[str, Any]
    signature: str
    signer: signers.Signer

    @property
    def id(self) -> UUID:
        """The id of what the order makes: it follows from purpose, wallet and the maker's word."""
        # Never the maker's word alone: a payment's id must not be taken by somebody who guessed it.
        return named(self.document["purpose"], self.signer.address, self.document["id"])

    @property
    def authorisation(self) -> dict[str, Any]:
        """What a transfer made by the order carries: all that it takes to check the signature again."""
        return {
            "by": "wallet",
            "wallet": self.signer.address,
            "public": b64(self.signer.public),
            "signature": self.signature,
            "document": dict(self.document),
        }


def read(document: Any, signature: str, *, purpose: str, fields: Mapping[str, type], user: User) -> Order:
    """The order, as the user's own wallet signed it.

    Raises OrderMalformed, WrongNetwork, WrongPurpose, SignerUnknown, ForeignAccount or SignatureInvalid.
    """
    _check_shape(document, COMMON | dict(fields))
    if document["net"] != platform_keys.network_id():
        raise WrongNetwork
    if document["purpose"] != purpose:
        raise WrongPurpose(f"The order was signed for {document['purpose'][:40]!r}, not for {purpose!r}.")
    signer = signers.get(document["wallet"])
    if signer.owner != accounts.owner_of(user):
        raise ForeignAccount
    try:
        signed = verify(signer.public, unb64(signature), canonical.dumps(document))
    except ProtocolError as error:
        raise SignatureInvalid(str(error)) from error
    if not signed:
        raise SignatureInvalid
    return Order(document, signature, signer)


def _check_shape(document: Any, fields: Mapping[str, type]) -> None:
    """Exactly these fields, each of its type; texts that can be stored, and an id that is one."""
    if not isinstance(document, dict) or set(document) != set(fields):
        raise OrderMalformed(f"The order has exactly the fields {', '.join(sorted(fields))}.")
    for name, kind in fields.items():
        value = document[name]
        fits = not isinstance(value, str) or (value.isprintable() and len(value) <= LONGEST)
        # By its very type, since a bool is an int to Python.
        if type(value) is not kind or not fits:
            raise OrderMalformed(f"{name} is {'a whole number' if kind is int else 'a text of up to 200 characters'}.")
    if not _ID.fullmatch(document["id"]):
        raise OrderMalformed("id has 1 to 64 letters, digits, dots, colons, dashes and underscores.")
    try:
        canonical.check(document)
    except ProtocolError as error:
        raise OrderMalformed(str(error)) from error


def lock(order: Order) -> int:
    """Lock the wallet's nonce until commit, so that its orders are obeyed one after another; returns the last used."""
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into ledger_signernonce (address, used) values (%s, 0) on conflict do nothing",
            [order.signer.address],
        )
    return SignerNonce.objects.select_for_update(no_key=True).get(pk=order.signer.address).used


def use(order: Order, last: int, now: datetime) -> None:
    """Use the order's nonce up, which must follow `last`; needs `lock`. Raises OrderExpired or NonceWrong."""
    if unix_ms(now) > order.document["deadline"]:
        raise OrderExpired
    if order.document["nonce"] != last + 1:
        raise NonceWrong(f"The wallet's next nonce is {last + 1}, not {order.document['nonce']}. Sign again with it.")
    SignerNonce.objects.filter(pk=order.signer.address).update(used=last + 1)


def next_nonce(address: str) -> int:
    """What the wallet's next order must bear."""
    return (SignerNonce.objects.filter(pk=address).values_list("used", flat=True).first() or 0) + 1
