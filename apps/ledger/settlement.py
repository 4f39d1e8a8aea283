"""Paying for work: the fee of a validated chunk leaves the job's hold once, whatever is retried."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.ledger import accounts, fees, holds
from apps.ledger.ids import named
from apps.ledger.models import Account, AccountKind, Transfer


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk to pay for: from which hold, for which task, to whom (account ids, equal shares), how many base units."""

    hold_id: UUID
    task_id: str
    providers: Sequence[int]
    amount: int


def legs(chunks: Sequence[Chunk]) -> list[list[holds.Leg]]:
    """The transfers that pay for each chunk; their ids follow from the task, so a second time is no second payment."""
    burn, treasury = accounts.system(AccountKind.BURN).pk, accounts.system(AccountKind.TREASURY).pk
    return [_legs(chunk, burn, treasury) for chunk in chunks]


def _legs(chunk: Chunk, burn: int, treasury: int) -> list[holds.Leg]:
    split = fees.split(chunk.amount)
    shares = fees.share(split.provider, len(chunk.providers))
    payments = [
        *(
            (f"provider:{i}", payee, units, "fee.provider")
            for i, (payee, units) in enumerate(zip(chunk.providers, shares, strict=True))
        ),
        ("burn", burn, split.burn, "fee.burn"),
        ("treasury", treasury, split.treasury, "fee.treasury"),
    ]
    return [
        holds.Leg(named("settle", chunk.task_id, name), payee, units, kind, memo=chunk.task_id)
        for name, payee, units, kind in payments
        if units
    ]


def settle_chunk(
    hold_id: UUID, *, task_id: str, provider_accounts: Sequence[Account], amount: int, now: datetime
) -> list[Transfer]:
    """Pay for one chunk; returns its transfers, those of an earlier call too. Raises what `holds.settle` raises."""
    [paid] = legs([Chunk(hold_id, task_id, [provider.pk for provider in provider_accounts], amount)])
    holds.settle(hold_id, paid, now=now)
    return list(Transfer.objects.filter(pk__in=[leg.id for leg in paid]).order_by("seq"))


def pay(chunks: Sequence[Chunk], *, now: datetime) -> None:
    """Pay for chunks of several holds in one posting, all or none. Raises what `holds.settle` raises."""
    paid = zip(chunks, legs(chunks), strict=True)
    holds.settle_together([holds.Settlement(chunk.hold_id, parts) for chunk, parts in paid], now)
