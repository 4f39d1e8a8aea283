"""What the chain must say: the ledger's rows, walked in order and recomputed."""

from collections.abc import Callable, Iterator
from functools import cache
from heapq import merge

from apps.core import platform_keys
from apps.core.errors import KeysMissing
from apps.ledger import signers
from apps.ledger.audit.report import Check
from apps.ledger.blocks import header_of
from apps.ledger.leaves import Row, public_form, rows
from apps.ledger.models import Account, AccountKind, Block, Genesis, Transfer
from workers.protocol.errors import NotCanonical, ProtocolError
from workers.protocol.keylist import KeyList, open_key_list
from workers.protocol.ledger_audit import RULES, BlockLine, ChainAudit, Line
from workers.protocol.ledger_export import Writer
from workers.protocol.transfers import order_of

STEP = 5_000
Tick = Callable[[], None]
Owner = Callable[[str], str | None]


def walk(tick: Tick, writer: Writer | None) -> ChainAudit:
    """Walk the chain once from genesis; `tick` is called every 5,000 transfers, `writer` is given whatever passes."""
    started = Genesis.objects.first()
    root, keys, missing = _keys()
    audit = ChainAudit(platform_keys.network_id(), started.document if started else None, keys)
    if missing and started is not None:
        audit.found.add("signatures", f"the platform's key list: {missing}")
    if started is not None:
        audit.genesis(started.signature, started.hash, root)
    for number, item in enumerate(_items()):
        if isinstance(item, Line):
            audit.transfer(item)
            if writer is not None:
                writer.transfer(item)
        else:
            audit.block(item)
            if writer is not None:
                writer.block(item)
        if number % STEP == 0:
            tick()
    return audit


def close(audit: ChainAudit, writer: Writer | None) -> tuple[list[Check], str]:
    """Compare with the accounts; returns the checks, and the root over all balances."""
    held = (("%s:%s" % (kind, owner), units) for kind, owner, units in _accounts())  # noqa: UP031
    for address, balance in sorted(held):
        audit.account(address, balance)
        if writer is not None:
            writer.account(address, balance)
    state = audit.close()
    return [
        Check(name, not audit.found.counted[name], rule, audit.found.of(name)) for name, rule in RULES.items()
    ], state


def _accounts() -> Iterator[tuple[str, str, int]]:
    return Account.objects.values_list("kind", "owner", "balance").iterator()


def _items() -> Iterator[BlockLine | Line]:
    """Blocks by height, each followed by its transfers; then the pending ones."""
    owner = cache(_owner_of)
    sealed = rows(Transfer.objects.sealed().order_by("sealing__block_id", "sealing__position"))
    blocks: Iterator[Block | Row] = Block.objects.order_by("height").iterator(chunk_size=500)
    both: Iterator[Block | Row] = merge(blocks, sealed, key=_place)
    for item in both:
        yield line_of(item, owner) if isinstance(item, Row) else block_line(item)
    for row in rows(Transfer.objects.pending().order_by("seq")):
        yield line_of(row, owner)


def _place(item: Block | Row) -> tuple[int, bool]:
    """A block stands before its transfers."""
    return (item.block or 0, True) if isinstance(item, Row) else (item.height, False)


def block_line(block: Block) -> BlockLine:
    """A block as the audit takes it."""
    return BlockLine(header_of(block), block.hash, block.document)


def line_of(row: Row, owner: Owner) -> Line:
    """A transfer as the audit takes it; `owner` knows whose a bound wallet is."""
    authorised = row.authorisation
    fault, order = "", None
    if not isinstance(authorised, dict) or "by" not in authorised:
        authorised, fault = {}, "it does not say who authorised it"
    elif order := order_of(authorised):
        holder = owner(str(order.get("wallet")))
        # From the wallet, or from the stake that it ordered back.
        if holder is not None and row.payer not in {
            f"{kind}:{holder}" for kind in (AccountKind.WALLET, AccountKind.STAKE)
        }:
            fault = f"its wallet is that of {AccountKind.WALLET}:{holder}, it pays from {row.payer}"
    try:
        form = public_form(row._replace(authorisation=authorised))
    except NotCanonical as error:
        form, fault = public_form(row._replace(authorisation={})), f"its authorisation cannot be hashed: {error}"
    return Line(form, row.block, row.position, bytes(row.leaf) if row.leaf is not None else None, order, fault)


def _owner_of(address: str) -> str | None:
    signer = signers.find(address)
    return signer.owner if signer else None


def _keys() -> tuple[bytes | None, KeyList | None, str]:
    """The root's public key, the platform's keys, and why there are none."""
    try:
        root = platform_keys.root_public()
        return root, open_key_list(platform_keys.key_list(), root), ""
    except (KeysMissing, ProtocolError, ValueError) as error:
        return None, None, str(error)
