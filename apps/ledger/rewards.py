"""Epoch rewards: a day's emission is minted once, after the day, and shared by what nodes were worth in it.

A node's weight is tier x uptime x quality, divided by how many nodes its owner has: one stake backs them all, so more
machines earn more fees and no more emission. Half of what a new node earns waits in escrow.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from apps.core import events, parameters
from apps.ledger import accounts, blocks, emission, fees, genesis
from apps.ledger.ids import named
from apps.ledger.models import AccountKind, Epoch, EpochShare, authorised_by_platform
from apps.ledger.posting import NewTransfer, post_all
from apps.ledger.retries import retried
from workers.protocol.clock import from_unix_ms

PPM = 1_000_000
LOCK = 5_072_702
# Heartbeats that failed at midnight are known by then.
SETTLED_AFTER = timedelta(minutes=10)
EPOCHS_AT_ONCE = 31


@dataclass(frozen=True, slots=True)
class Work:
    """What a node was in an epoch: its owner (`user:7`), the tier's multiplier, the part of the day it was online and
    the quality of its results in millionths, how many nodes its owner had, and whether it is new."""

    node: str
    owner: str
    tier: int
    uptime_ppm: int
    quality_ppm: int
    nodes: int
    is_new: bool

    @property
    def weight(self) -> int:
        """Its weight among the others."""
        return self.tier * self.uptime_ppm * self.quality_ppm // self.nodes


Source = Callable[[datetime, datetime], Sequence[Work]]
_sources: list[Source] = []


def register(source: Source) -> None:
    """Say who knows what nodes did: `source(start, end)` returns a row for each node that was there."""
    _sources[:] = [source]


def close_due(now: datetime) -> list[Epoch]:
    """Settle the days that are over, the oldest first; at most 31 at once."""
    started = genesis.stored()
    if started is None:
        return []
    newest = Epoch.objects.first()
    day = newest.day + timedelta(days=1) if newest else from_unix_ms(started["timestamp"]).date()
    over = (now - SETTLED_AFTER).date()
    days = min((over - day).days, EPOCHS_AT_ONCE)
    return [close(day + timedelta(days=i), started, now) for i in range(days)]


@retried
def close(day: date, started: dict[str, Any], now: datetime) -> Epoch:
    """Mint and share a day's emission, once; `started` is the genesis document. Without weight nothing is minted."""
    start = datetime.combine(day, time(), UTC)
    with transaction.atomic():
        # One at a time, so that the day's mint and its row are looked for and made together.
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", [LOCK])
        if done := Epoch.objects.filter(pk=day).first():
            return done
        minted, _ = blocks.supply()
        pool = emission.pool_of(day, started, minted)
        work = _weighed(start, start + timedelta(days=1)) if pool else []
        first, last = emission.heights_of(day, started)
        epoch = Epoch.objects.create(
            day=day, first_height=first, last_height=last, pool=pool, minted=pool if work else 0, at=now
        )
        if work:
            shares = _shares(epoch, work)
            post_all(_transfers(epoch, shares), now=now)
            EpochShare.objects.bulk_create(shares)
            _tell(epoch, shares, now)
    return epoch


def mint_id(day: date) -> UUID:
    """The id of the one transfer that mints a day's emission."""
    return named("emission", day.isoformat())


def _weighed(start: datetime, end: datetime) -> list[Work]:
    """Who has weight, in an order that everybody finds again."""
    work = [row for source in _sources for row in source(start, end)]
    return sorted((row for row in work if row.weight > 0), key=lambda row: row.node)


def _shares(epoch: Epoch, work: list[Work]) -> list[EpochShare]:
    percent = parameters.get("rewards.escrow_percent")
    amounts = fees.proportional(epoch.pool, [row.weight for row in work])
    return [
        EpochShare(
            epoch=epoch,
            node=row.node,
            owner=row.owner,
            tier=row.tier,
            uptime_ppm=row.uptime_ppm,
            quality_ppm=row.quality_ppm,
            nodes=row.nodes,
            weight=row.weight,
            amount=units,
            escrowed=units * percent // 100 if row.is_new else 0,
        )
        for row, units in zip(work, amounts, strict=True)
    ]


def _transfers(epoch: Epoch, shares: list[EpochShare]) -> list[NewTransfer]:
    """The mint into the epoch's account, and out of it one payment for each owner and place."""
    day = epoch.day.isoformat()
    mint, source = accounts.system(AccountKind.MINT).pk, accounts.escrow("epoch").pk
    by = authorised_by_platform(f"epoch:{day}")
    paid: defaultdict[tuple[str, str], int] = defaultdict(int)
    for share in shares:
        paid[share.owner, AccountKind.WALLET] += share.amount - share.escrowed
        paid[share.owner, AccountKind.ESCROW] += share.escrowed
    kinds = {AccountKind.WALLET: "reward.epoch", AccountKind.ESCROW: "reward.escrow"}
    return [
        NewTransfer(mint_id(epoch.day), mint, source, epoch.pool, "emission", by, memo=day),
        *(
            NewTransfer(
                id=named("epoch", day, owner, kind),
                debit=source,
                credit=accounts.account(kind, owner).pk,
                amount=units,
                kind=kinds[AccountKind(kind)],
                authorisation=by,
                memo=day,
            )
            for (owner, kind), units in paid.items()
            if units
        ),
    ]


def _tell(epoch: Epoch, shares: list[EpochShare], now: datetime) -> None:
    topics = {f"user.{share.owner.removeprefix('user:')}" for share in shares}
    data = {"minted": str(epoch.minted), "nodes": len(shares)}
    events.emit("epoch.settled", subject=epoch.day.isoformat(), topics=sorted(topics), data=data, now=now)
