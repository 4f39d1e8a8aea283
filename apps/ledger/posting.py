"""Posting transfers, many at a time, in one statement."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from apps.ledger.errors import InsufficientFunds, PostingRefused

_POST = (
    "select ledger_post(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[],"
    " %s::text[]::jsonb[], %s::uuid[], %s, %s)"
)
DONE = frozenset({"created", "exists"})
SHORT = frozenset({"overdraft", "supply_cap"})


@dataclass(frozen=True, slots=True)
class NewTransfer:
    """A transfer to post. `debit` and `credit` are account ids, `amount` base units, `id` the maker's own choice."""

    id: UUID
    debit: int
    credit: int
    amount: int
    kind: str
    authorisation: dict[str, Any]
    memo: str = ""
    hold: UUID | None = None


@dataclass(frozen=True, slots=True)
class PostResult:
    """What became of one transfer: `created`, `exists`, or why it was refused."""

    id: UUID
    code: str

    @property
    def done(self) -> bool:
        """Whether the transfer is in the ledger as asked, by this call or an earlier one."""
        return self.code in DONE


def post(transfers: Sequence[NewTransfer], *, now: datetime, linked: bool = True) -> list[PostResult]:
    """Post a batch and say of each transfer what became of it. Needs an open transaction.

    Linked transfers are posted all together or not at all; whether an account is overdrawn is judged by the batch's
    net effect. Codes: created; exists (an earlier post of the same content, whatever its authorisation);
    exists_with_different_debit|credit|amount|kind|memo|hold; overdraft; supply_cap; account_not_found;
    amount_not_positive; amount_too_large; same_account; id_repeated (within the batch); linked_failed (nothing wrong
    with this one).
    """
    if not connection.in_atomic_block:
        raise RuntimeError("Posting needs an open transaction.")
    columns = (
        [t.id for t in transfers],
        [t.debit for t in transfers],
        [t.credit for t in transfers],
        [t.amount for t in transfers],
        [t.kind for t in transfers],
        [t.memo for t in transfers],
        _written([t.authorisation for t in transfers]),
        [t.hold for t in transfers],
    )
    with connection.cursor() as cursor:
        cursor.execute(_POST, [*columns, now, linked])
        codes: list[str] = cursor.fetchone()[0]
    return [PostResult(t.id, code) for t, code in zip(transfers, codes, strict=True)]


def post_all(transfers: Sequence[NewTransfer], *, now: datetime) -> list[PostResult]:
    """Post linked transfers; raises InsufficientFunds or PostingRefused, with nothing posted, unless all are done."""
    results = post(transfers, now=now, linked=True)
    refused = [r for r in results if not r.done]
    if not refused:
        return results
    if any(r.code in SHORT for r in refused):
        raise InsufficientFunds
    first = next(r for r in refused if r.code != "linked_failed")
    raise PostingRefused(f"Transfer {first.id}: {first.code}.", code=first.code)


def _written(authorisations: Sequence[dict[str, Any]]) -> list[str]:
    """Each as JSON; the transfers of a batch often share one object, which is written once."""
    texts = {key: json.dumps(value) for key, value in {id(value): value for value in authorisations}.items()}
    return [texts[id(value)] for value in authorisations]
