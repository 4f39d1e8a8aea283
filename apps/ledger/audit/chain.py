"""What the chain must say: everything in a block is computed again from its transfers."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain, groupby

from django.utils.translation import gettext_noop as _

from apps.core import platform_keys
from apps.core.errors import KeysMissing
from apps.ledger import genesis
from apps.ledger.audit.report import Check, judged
from apps.ledger.blocks import Tally, header_of, slot
from apps.ledger.leaves import Row, rows
from apps.ledger.models import Block, Genesis, Transfer
from workers.protocol import merkle
from workers.protocol.blocks import KIND, block_hash
from workers.protocol.clock import unix_ms
from workers.protocol.envelope import open_document
from workers.protocol.errors import ProtocolError
from workers.protocol.keylist import KeyList, open_key_list

RULES = {
    "genesis": _("The chain starts from its genesis document."),
    "chain": _("Every block follows the one before it, in its slot, under its own hash."),
    "roots": _("Every root is that of its block's transfers."),
    "counts": _("Every block counts its transfers, what was minted and what was burnt."),
    "signatures": _("Every block is signed by the platform."),
}
Found = dict[str, list[str]]


def checks() -> list[Check]:
    """Walk the chain once from genesis."""
    found: Found = defaultdict(list)
    started = Genesis.objects.first()
    keys = _keys(found)
    last: Block | None = None
    for block, transfers in _blocks():
        _check_contents(block, last, transfers, found)
        _check_place(block, last, started, found)
        if keys is not None and not _signed(block, keys):
            found["signatures"].append(f"block {block.height}")
        last = block
    _check_genesis(started, last, found)
    return [judged(name, detail, found[name]) for name, detail in RULES.items()]


def _blocks() -> Iterator[tuple[Block, Iterator[Row]]]:
    """Each block with its transfers, by height; one statement for all blocks and one for all transfers."""
    sealed = rows(Transfer.objects.sealed().order_by("sealing__block_id", "sealing__position"))
    nothing: Iterator[Row] = iter(())
    groups = chain(groupby(sealed, key=lambda row: row.block), [(None, nothing)])
    height, transfers = next(groups)
    for block in Block.objects.order_by("height").iterator(chunk_size=500):
        while height is not None and height < block.height:
            height, transfers = next(groups)
        yield block, transfers if height == block.height else nothing


def _check_contents(block: Block, last: Block | None, transfers: Iterator[Row], found: Found) -> None:
    tally = Tally(last)
    root = merkle.root(tally.leaves(transfers))
    if root.hex() != block.root or not tally.in_order:
        found["roots"].append(f"block {block.height}")
    if (tally.count, tally.minted, tally.burned) != (block.count, block.minted, block.burned):
        found["counts"].append(f"block {block.height}")


def _check_place(block: Block, last: Block | None, started: Genesis | None, found: Found) -> None:
    follows = (last is None and block.height == 0) or (
        last is not None and block.prev == last.hash and block.height > last.height
    )
    in_slot = started is None or slot(started.document, block.sealed_at) == block.height
    if not (follows and in_slot and block_hash(header_of(block)) == block.hash):
        found["chain"].append(f"block {block.height}")


def _check_genesis(started: Genesis | None, last: Block | None, found: Found) -> None:
    if started is None:
        if last is not None or Transfer.objects.exists():
            found["genesis"].append("there is no genesis document")
        return
    first = Block.objects.get(pk=started.block_id)
    ordered = {(t.id, t.debit, t.credit, t.amount) for t in genesis.first_transfers(started.document)}
    posted = set(Transfer.objects.in_block(0).values_list("pk", "debit_id", "credit_id", "amount"))
    if genesis.digest(started.document) != started.hash or first.prev != started.hash:
        found["genesis"].append("block 0 does not name the document's hash")
    if unix_ms(first.sealed_at) != started.document["timestamp"] or ordered != posted:
        found["genesis"].append("block 0 does not hold what the document orders")


def _keys(found: Found) -> KeyList | None:
    try:
        return open_key_list(platform_keys.key_list(), platform_keys.root_public())
    except (KeysMissing, ProtocolError) as error:
        if Block.objects.exists():
            found["signatures"].append(f"the platform's key list: {error}")
        return None


def _signed(block: Block, keys: KeyList) -> bool:
    at = unix_ms(block.sealed_at)
    try:
        opened = open_document(
            block.document, kind=KIND, resolve=lambda kid: keys.resolve(kid, at), net=platform_keys.network_id()
        )
    except (ProtocolError, KeyError, TypeError):
        return False
    return opened.body == {"hash": block.hash, "height": block.height}
