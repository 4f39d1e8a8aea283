"""The ledger recomputed from its blocks and transfers alone: the same walk over the database's rows and over an export.

`ChainAudit` is given the blocks by height, each followed by its transfers in order, then the pending transfers, then
the accounts by address. It holds every balance and every id, and of each broken rule the first names.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from workers.protocol import canonical, genesis, merkle
from workers.protocol.amounts import MAX_SUPPLY
from workers.protocol.blocks import KIND as BLOCK_KIND
from workers.protocol.blocks import block_hash, transfer_leaf
from workers.protocol.envelope import open_document
from workers.protocol.errors import ProtocolError
from workers.protocol.keylist import KeyList
from workers.protocol.transfers import ORDERED_KINDS, id_fault, order_fault

NAMED_AT_MOST = 20
FIRST_FIELDS = ("txId", "from", "to", "amount", "txType")
RULES = {
    "genesis": "The chain starts from its genesis document, signed by the genesis account.",
    "chain": "Every block follows the one before it, in its slot, under its own hash.",
    "leaves": "Every sealed transfer is what its block sealed.",
    "roots": "Every root is that of its block's transfers.",
    "counts": "Every block counts its transfers, what was minted and what was burnt.",
    "signatures": "Every block is signed by the platform.",
    "authorisations": "Every transfer says who authorised it, and people's transfers carry their wallets' signatures.",
    "ids": "No id stands twice, and every id that follows from its purpose does.",
    "history": "No account but the mint was below zero after a block, and every balance follows from the transfers.",
    "supply": "What was minted, less what was burnt, is what the accounts hold, and is within the cap.",
}


class Line(NamedTuple):
    """A transfer as its source has it: public form, place, the kept hash of its leaf, and a wallet's order."""

    form: Mapping[str, Any]
    block: int | None
    place: int | None
    leaf: bytes | None
    order: Mapping[str, Any] | None
    fault: str = ""


class BlockLine(NamedTuple):
    """A block as its source has it."""

    header: Mapping[str, Any]
    hash: str
    signature: Mapping[str, Any]


class Findings:
    """What breaks each rule, by name: all counted, the first twenty kept."""

    def __init__(self) -> None:
        self.named: dict[str, list[str]] = defaultdict(list)
        self.counted: Counter[str] = Counter()

    def add(self, rule: str, name: str) -> None:
        """Note one."""
        self.counted[rule] += 1
        if len(self.named[rule]) < NAMED_AT_MOST:
            self.named[rule].append(name)

    def of(self, rule: str) -> list[str]:
        """The names of a rule, and how many more there are."""
        more = self.counted[rule] - len(self.named[rule])
        return [*self.named[rule], *([f"and {more} more"] if more else [])]


class ChainAudit:
    """One walk over a ledger, in order. `found` says what is wrong; nothing raises.

    `keys` may be None where the platform's key list is missing or refused; then no signature is believed.
    """

    def __init__(self, net: str, document: Mapping[str, Any] | None, keys: KeyList | None) -> None:
        self.net = net
        self.document = document
        self.whole = document is not None and not genesis.fault(document)
        self.keys = keys
        self.found = Findings()
        self.balances: defaultdict[str, int] = defaultdict(int)
        self.transfers = self.pending = self.blocks = self.minted = self.burned = 0
        self.last: BlockLine | None = None
        self._ids: set[int] = set()
        self._state: list[bytes] = []
        self._held = 0
        self._opened = False
        self._first: dict[str, dict[str, Any]] = {}
        self._begin()

    def genesis(self, signature: Mapping[str, Any] | None, digest: str | None, root_public: bytes | None) -> None:
        """The document, before any block; `digest` is the hash that is known for it, `root_public` the root's key."""
        if self.document is None:
            return
        if wrong := genesis.fault(self.document):
            self.found.add("genesis", f"genesis document: {wrong}")
        made = genesis.digest(self.document)
        if digest is not None and made != digest:
            self.found.add("genesis", f"genesis document: its hash is {made}, expected {digest}")
        if root_public is None or not genesis.is_signed(self.document, signature or {}, root_public):
            self.found.add("genesis", "genesis document: not signed by the genesis account")

    def block(self, block: BlockLine) -> None:
        """The next block; its transfers follow."""
        self._end_block()
        name = f"block {block.header['height']}"
        self._check_link(block, name)
        self._check_place(block, name)
        self._check_signature(block, name)
        self.last, self._opened = block, True
        self.blocks += 1
        self._begin()

    def transfer(self, line: Line) -> None:
        """The next transfer of the last block, or a pending one."""
        if line.block is None:
            self._end_block()
            self.pending += 1
        elif not self._opened or self.last is None or line.block != self.last.header["height"]:
            self._blame("chain", line, f"block {line.block}, which sealed it, is missing or stands elsewhere")
        else:
            self._check_leaf(line)
        self._check_content(line)
        self._move(line.form)

    def account(self, address: str, balance: int) -> None:
        """The next account, by address: what it holds, pending transfers included."""
        self._end_block()
        self._check_touched("pending")
        kind = address.partition(":")[0]
        self._held += balance if kind not in {"mint", "burn"} else 0
        expected = self.balances.pop(address, 0)
        if balance != expected:
            self.found.add("history", f"account {address}: it holds {balance}, its transfers make {expected}")
        self._state.append(canonical.dumps({"address": address, "balance": str(balance)}))

    def close(self) -> str:
        """After the accounts: what is missing; and the ledger's state as one root over them, 64 hex digits."""
        self._end_block()
        self._check_touched("pending")
        self._check_first_transfers()
        for address, balance in sorted(self.balances.items()):
            self.found.add("history", f"account {address}: it is missing, its transfers make {balance}")
        if self._held != self.minted - self.burned:
            expected = f"{self.minted - self.burned}: {self.minted} minted less {self.burned} burnt"
            self.found.add("supply", f"the accounts hold {self._held}, expected {expected}")
        if self.minted > MAX_SUPPLY:
            self.found.add("supply", f"{self.minted} were minted, at most {MAX_SUPPLY} may be")
        return merkle.root(self._state).hex()

    def _begin(self) -> None:
        self._tree, self._count = merkle.Accumulator(), 0
        self._touched: set[str] = set()

    def _end_block(self) -> None:
        """Compare what the block says with the transfers that followed it."""
        if not self._opened or self.last is None:
            return
        header, name = self.last.header, f"block {self.last.header['height']}"
        root = self._tree.root().hex()
        if root != header["root"]:
            self.found.add("roots", f"{name}: the root of its transfers is {root}, it says {header['root']}")
        counted = {"count": self._count, "minted": self.minted, "burned": self.burned}
        for field, value in counted.items():
            if value != header[field]:
                self.found.add("counts", f"{name}: {field} is {header[field]}, expected {value}")
        self._check_touched(name)
        self._opened = False
        self._begin()

    def _check_leaf(self, line: Line) -> None:
        """Whether the transfer is the one that was sealed there."""
        made = merkle.leaf_hash(transfer_leaf(line.form))
        if made != line.leaf:
            kept = line.leaf.hex() if line.leaf else "nothing"
            self._blame("leaves", line, f"its leaf is {made.hex()}, block {line.block} sealed {kept}")
        if line.place != self._count:
            self._blame("leaves", line, f"it stands at {line.place} of block {line.block}, expected {self._count}")
        if line.block == 0:
            self._first[line.form["txId"]] = {name: line.form[name] for name in FIRST_FIELDS}
        self._tree.add(made)
        self._count += 1

    def _check_content(self, line: Line) -> None:
        """The transfer's id and authorisation."""
        form = line.form
        # As a number it takes half the room of its text.
        number = int(form["txId"].replace("-", ""), 16)
        if number in self._ids:
            self._blame("ids", line, "stands twice")
        self._ids.add(number)
        if wrong := id_fault(form, line.order, self.net):
            self._blame("ids", line, wrong)
        if not line.fault and line.order is None and form["txType"] in ORDERED_KINDS:
            self._blame("authorisations", line, "it carries no wallet's signature")
        elif wrong := line.fault or (order_fault(line.order, form, self.net) if line.order else ""):
            self._blame("authorisations", line, wrong)

    def _move(self, form: Mapping[str, Any]) -> None:
        amount, payer, payee = int(form["amount"]), form["from"], form["to"]
        self.transfers += 1
        self.balances[payer] -= amount
        self.balances[payee] += amount
        self._touched.add(payer)
        self._touched.add(payee)
        if payer.startswith("mint:"):
            self.minted += amount
        if payee.startswith("burn:"):
            self.burned += amount

    def _blame(self, rule: str, line: Line, wrong: str) -> None:
        self.found.add(rule, f"transfer {line.form['txId']}: {wrong}")

    def _check_touched(self, name: str) -> None:
        """Within a block an account may be below zero for a moment, since linked transfers are judged together."""
        below = [a for a in self._touched if self.balances[a] < 0 and not a.startswith("mint:")]
        for address in sorted(below):
            self.found.add("history", f"{name}: account {address} is at {self.balances[address]}")
        self._touched = set()

    def _check_link(self, block: BlockLine, name: str) -> None:
        """Whether it follows the block before it, or the genesis document."""
        header, last = block.header, self.last
        if last is not None:
            if header["height"] <= last.header["height"]:
                self.found.add("chain", f"{name}: it follows block {last.header['height']}")
            if header["prev"] != last.hash:
                self.found.add("chain", f"{name}: it names {header['prev']} before it, expected {last.hash}")
            return
        if header["height"] != 0:
            self.found.add("chain", f"{name}: it is the first, expected block 0")
        if self.document is not None and header["prev"] != (expected := genesis.digest(self.document)):
            self.found.add("genesis", f"{name}: it names {header['prev']} before it, the document is {expected}")

    def _check_place(self, block: BlockLine, name: str) -> None:
        """Whether it stands in its slot of its network, under its own hash."""
        header = block.header
        if self.document is not None and self.whole:
            slot = genesis.slot(self.document, int(header["sealed_at"]))
            if slot != header["height"]:
                self.found.add("chain", f"{name}: it was sealed in slot {slot}")
            if header["height"] == 0 and header["sealed_at"] != self.document["timestamp"]:
                self.found.add("genesis", f"{name}: sealed at {header['sealed_at']}, the document says another moment")
        made = block_hash(header)
        if made != block.hash:
            self.found.add("chain", f"{name}: its hash is {block.hash}, expected {made}")
        if header["net"] != self.net:
            self.found.add("chain", f"{name}: it belongs to {header['net']}, expected {self.net}")

    def _check_signature(self, block: BlockLine, name: str) -> None:
        if self.keys is None:
            return
        resolve = partial(self.keys.resolve, at_ms=int(block.header["sealed_at"]))
        try:
            opened = open_document(block.signature, kind=BLOCK_KIND, resolve=resolve, net=self.net)
        except (ProtocolError, KeyError, TypeError) as error:
            self.found.add("signatures", f"{name}: {error}")
            return
        if opened.body != (said := {"hash": block.hash, "height": block.header["height"]}):
            self.found.add("signatures", f"{name}: {opened.body} was signed, expected {said}")

    def _check_first_transfers(self) -> None:
        """Block 0 holds what the document orders."""
        if self.document is None:
            if self.blocks or self.transfers:
                self.found.add("genesis", "there is no genesis document")
        elif self.whole:
            ordered = {form["txId"]: form for form in genesis.ordered(self.document)}
            for txid in sorted(self._first.keys() | ordered.keys()):
                held, wanted = self._first.get(txid), ordered.get(txid)
                if held != wanted:
                    self.found.add("genesis", f"block 0: transfer {txid} is {held}, ordered is {wanted}")
