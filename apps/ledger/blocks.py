"""Sealing: the transfers since the last block, in order, under a Merkle root and the platform's signature.

Posting takes no lock on the chain. One sequencer at a time seals what was committed; a transfer is pending until then.
A block's height is its slot since genesis, so a slot in which nobody sealed has no block.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connection, transaction

from apps.core import events, platform_keys
from apps.ledger.errors import GenesisMissing
from apps.ledger.leaves import Row, leaf, rows
from apps.ledger.models import Account, AccountKind, Block, Genesis, Transfer
from workers.protocol import genesis as beginning
from workers.protocol import merkle
from workers.protocol.blocks import KIND, block_hash
from workers.protocol.clock import from_unix_ms, unix_ms
from workers.protocol.envelope import sign_document

SEQUENCER = 5_072_701
TOPIC = "ledger"

_TAKE = "delete from ledger_pending returning transfer_id"
_KEEP = "copy ledger_sealing (transfer_id, block_id, position, leaf) from stdin"


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
    height = beginning.slot(genesis.document, unix_ms(now))
    if height <= last.height:
        return None
    block = seal(height, last, now)
    message = {"kind": "block.sealed", "subject": str(height), "data": {"count": block.count}, "at": now.isoformat()}
    transaction.on_commit(partial(events.publish, (TOPIC,), message))
    return block


def seal(height: int, last: Block | None, now: datetime, *, prev: str = "") -> Block:
    """Seal what is pending at `height`, on top of `last` (or, at genesis, of the hash `prev`)."""
    minted, burned = (last.minted, last.burned) if last else (0, 0)
    leaves = []
    for row in _taken():
        leaves.append((row.seq, merkle.leaf_hash(leaf(row))))
        minted += row.amount if row.debit_kind == AccountKind.MINT else 0
        burned += row.amount if row.credit_kind == AccountKind.BURN else 0
    with connection.cursor() as cursor, cursor.copy(_KEEP) as keep:
        for position, (seq, hashed) in enumerate(leaves):
            keep.write_row((seq, height, position, hashed))
    block = Block(
        height=height,
        prev=last.hash if last else prev,
        root=merkle.root_of_hashes(hashed for _, hashed in leaves).hex(),
        count=len(leaves),
        minted=minted,
        burned=burned,
        # In whole milliseconds, as in the header.
        sealed_at=from_unix_ms(unix_ms(now)),
    )
    block.hash = block_hash(header_of(block))
    body = {"hash": block.hash, "height": height}
    block.document = sign_document(KIND, body, key=platform_keys.signing_key(), net=platform_keys.network_id(), now=now)
    block.save(force_insert=True)
    return block


def _taken() -> Iterator[Row]:
    """What was pending and is no longer, in order."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE)
        taken = [seq for (seq,) in cursor.fetchall()]
    return rows(Transfer.objects.numbered(taken).order_by("seq"))


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


def supply() -> tuple[int, int]:
    """Minted and burned base units by now, pending transfers included."""
    held = dict(Account.objects.filter(kind__in=[AccountKind.MINT, AccountKind.BURN]).values_list("kind", "balance"))
    return -held.get(AccountKind.MINT, 0), held.get(AccountKind.BURN, 0)


def _alone() -> bool:
    """Whether this transaction is the sequencer; the lock goes with its end."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(%s)", [SEQUENCER])
        return bool(cursor.fetchone()[0])
