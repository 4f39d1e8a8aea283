"""Sealing: the transfers since the last block, in order, under a Merkle root and the platform's signature.

Posting takes no lock on the chain. One sequencer at a time seals what was committed; a transfer is pending until then.
A block's height is its slot since genesis, so a slot in which nobody sealed has no block.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connection, transaction

from apps.core import events, platform_keys
from apps.ledger.errors import GenesisMissing
from apps.ledger.leaves import Row, leaf, rows
from apps.ledger.models import Account, AccountKind, Block, Genesis, Transfer
from workers.protocol import merkle
from workers.protocol.blocks import KIND, block_hash
from workers.protocol.clock import from_unix_ms, unix_ms
from workers.protocol.envelope import sign_document

SEQUENCER = 5_072_701
TOPIC = "ledger"

_SEAL = """
with taken as (delete from ledger_pending returning transfer_id)
insert into ledger_sealing (transfer_id, block_id, position)
select transfer_id, %s, row_number() over (order by transfer_id) - 1 from taken
"""


def slot(genesis: dict[str, Any], now: datetime) -> int:
    """The height that belongs to a moment; negative before genesis."""
    return (unix_ms(now) - int(genesis["timestamp"])) // (1000 * int(genesis["config"]["blockSeconds"]))


@transaction.atomic(durable=True)
def seal_due(now: datetime) -> Block | None:
    """Seal the pending transfers once the next slot has begun.

    None while the slot has its block, and while another sequencer is at work. Raises GenesisMissing.
    """
    if not _alone():
        return None
    last, genesis = Block.objects.first(), Genesis.objects.first()
    if last is None or genesis is None:
        raise GenesisMissing
    height = slot(genesis.document, now)
    if height <= last.height:
        return None
    block = seal(height, last, now)
    message = {"kind": "block.sealed", "subject": str(height), "data": {"count": block.count}, "at": now.isoformat()}
    transaction.on_commit(partial(events.publish, (TOPIC,), message))
    return block


def seal(height: int, last: Block | None, now: datetime, *, prev: str = "") -> Block:
    """Seal what is pending at `height`, on top of `last` (or, at genesis, of the hash `prev`)."""
    with connection.cursor() as cursor:
        cursor.execute(_SEAL, [height])
    tally = Tally(last)
    root = merkle.root(tally.leaves(rows(Transfer.objects.in_block(height))))
    block = Block(
        height=height,
        prev=last.hash if last else prev,
        root=root.hex(),
        count=tally.count,
        minted=tally.minted,
        burned=tally.burned,
        # In whole milliseconds, as in the header.
        sealed_at=from_unix_ms(unix_ms(now)),
    )
    block.hash = block_hash(header_of(block))
    body = {"hash": block.hash, "height": height}
    block.document = sign_document(KIND, body, key=platform_keys.signing_key(), net=platform_keys.network_id(), now=now)
    block.save(force_insert=True)
    return block


def header_of(block: Block) -> dict[str, Any]:
    """What a block's hash is taken over."""
    return {
        "height": block.height,
        "net": platform_keys.network_id(),
        "prev": block.prev,
        "root": block.root,
        "count": block.count,
        "minted": block.minted,
        "burned": block.burned,
        "sealed_at": unix_ms(block.sealed_at),
    }


class Tally:
    """Counts transfers, and what was minted and burnt up to them, while their leaves pass by."""

    def __init__(self, last: Block | None) -> None:
        self.count = 0
        self.in_order = True
        self.minted = last.minted if last else 0
        self.burned = last.burned if last else 0

    def leaves(self, transfers: Iterable[Row]) -> Iterator[bytes]:
        """The leaves of the transfers, each counted as it is taken."""
        for row in transfers:
            self.in_order &= row.position == self.count
            self.count += 1
            self.minted += row.amount if row.debit_kind == AccountKind.MINT else 0
            self.burned += row.amount if row.credit_kind == AccountKind.BURN else 0
            yield leaf(row)


def supply() -> tuple[int, int]:
    """Minted and burned base units by now, pending transfers included."""
    held = dict(Account.objects.filter(kind__in=[AccountKind.MINT, AccountKind.BURN]).values_list("kind", "balance"))
    return -held.get(AccountKind.MINT, 0), held.get(AccountKind.BURN, 0)


def _alone() -> bool:
    """Whether this transaction is the sequencer; the lock goes with its end."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(%s)", [SEQUENCER])
        return bool(cursor.fetchone()[0])
