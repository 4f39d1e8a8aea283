"""Verifying a ledger's export with nothing but the file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from workers.protocol import genesis
from workers.protocol.amounts import base_units
from workers.protocol.envelope import open_document, unverified_payload
from workers.protocol.errors import ProtocolError
from workers.protocol.keylist import KeyList, open_key_list
from workers.protocol.keys import fingerprint, unb64
from workers.protocol.ledger_audit import RULES, BlockLine, ChainAudit, Line
from workers.protocol.ledger_export import (
    GENESIS,
    KEYS,
    KIND,
    LEDGER,
    MANIFEST,
    AccountShape,
    BlockShape,
    ExportBroken,
    Item,
    Reader,
    TransferShape,
    form_of,
    is_header,
)
from workers.protocol.transfers import authorisation_hash

FILE_RULE = "Every part of the file is whole, and is what the platform's signed manifest says."
SUMMARY = ("network", "height", "head", "genesis", "transfers", "pending", "blocks", "minted", "burned", "state")


@dataclass
class Verdict:
    """Each rule with what breaks it; what the file says of the ledger; and what the reader took on trust."""

    rules: dict[str, str]
    found: dict[str, list[str]]
    summary: dict[str, Any] = field(default_factory=dict)
    trusts: str = ""

    @property
    def ok(self) -> bool:
        """Whether every rule holds."""
        return not any(self.found.values())


@dataclass(frozen=True)
class Pins:
    """What the reader knows from elsewhere: the hash of the genesis document, the root key's fingerprint."""

    genesis: str | None = None
    root: str | None = None

    @property
    def trusts(self) -> str:
        """What is believed on the file's own word."""
        if self.genesis and self.root:
            return ""
        if self.genesis or self.root:
            return "Pinned to " + ("the genesis hash" if self.genesis else "the root key") + " that you gave."
        return "The file names its own root key and genesis; give --genesis or --root to pin the network you trust."


def verify_export(path: Path, pins: Pins) -> Verdict:
    """Recompute an export line by line. Holds every balance and id, never the file."""
    return _Verification(path, pins).run()


class _Verification:
    def __init__(self, path: Path, pins: Pins) -> None:
        self.path = path
        self.pins = pins
        self.broken: list[str] = []
        self.block: BlockLine | None = None

    def run(self) -> Verdict:
        try:
            reader = Reader(self.path)
        except ExportBroken as error:
            return Verdict({"file": FILE_RULE}, {"file": [str(error)]})
        keys = self._keys(self._part(reader, KEYS))
        manifest = self._manifest(self._part(reader, MANIFEST), keys)
        beginning = self._part(reader, GENESIS)
        net = keys.network if keys else str(manifest.get("network", ""))
        document = beginning.get("document")
        self.audit = ChainAudit(net, document if isinstance(document, dict) else None, keys)
        if keys is None:
            self.audit.found.add("signatures", "keys.json: without the platform's key list no signature is believed")
        self.audit.genesis(beginning.get("signature"), self.pins.genesis, self.root_public)
        try:
            for item in reader.items():
                self._take(item, reader.lines)
        except ExportBroken as error:
            self.broken.append(str(error))
        state = self.audit.close()
        reader.close()
        summary = self._summary(state, net)
        self._compare(manifest, summary, reader)
        found = {"file": self.broken} | {name: self.audit.found.of(name) for name in RULES}
        return Verdict({"file": FILE_RULE} | RULES, found, summary, self.pins.trusts)

    def _part(self, reader: Reader, name: str) -> dict[str, Any]:
        try:
            return reader.part(name)
        except ExportBroken as error:
            self.broken.append(str(error))
            return {}

    def _keys(self, document: Mapping[str, Any]) -> KeyList | None:
        self.root_public: bytes | None = None
        try:
            public = unb64(unverified_payload(document)["body"]["root_public"])
            keys = open_key_list(document, self.pins.root or fingerprint(public))
        except (ProtocolError, KeyError, TypeError) as error:
            self.broken.append(f"{KEYS}: {error}")
            return None
        self.root_public = public
        return keys

    def _manifest(self, document: Mapping[str, Any], keys: KeyList | None) -> dict[str, Any]:
        if keys is None:
            return {}
        try:
            issued = unverified_payload(document)["issued_at"]
            resolve = partial(keys.resolve, at_ms=issued)
            return open_document(document, kind=KIND, resolve=resolve, net=keys.network).body
        except (ProtocolError, KeyError, TypeError) as error:
            self.broken.append(f"{MANIFEST}: {error}")
            return {}

    def _take(self, item: Item, number: int) -> None:
        """One line, once it has the shape that the audit relies on."""
        try:
            if isinstance(item, BlockShape):
                self._take_block(item)
            elif isinstance(item, TransferShape):
                self._take_transfer(item)
            else:
                self.audit.account(item.address, _balance(item))
        except (ValueError, KeyError, TypeError, ProtocolError) as error:
            raise ExportBroken(f"{LEDGER}, line {number}: {error}") from error

    def _take_block(self, item: BlockShape) -> None:
        if not is_header(item.header):
            raise ExportBroken(f"a block's header has the fields {', '.join(sorted(item.header))}")
        self.block = BlockLine(item.header, item.hash, item.signature)
        self.audit.block(self.block)

    def _take_transfer(self, item: TransferShape) -> None:
        base_units(item.amount)
        for value in (item.txId, item.hold):
            if value is not None and str(UUID(value)) != value:
                raise ExportBroken(f"{value} is not an id in its one form")
        leaf = bytes.fromhex(item.leaf) if item.leaf is not None else None
        fault = ""
        if item.order is not None and authorisation_hash(item.order) != item.authorisation:
            fault = "its order is not the one whose hash it carries"
        self.audit.transfer(Line(form_of(item), item.block, item.index, leaf, item.order, fault))
        if item.signature != (expected := self._signature(item)):
            self.audit.found.add("signatures", f"transfer {item.txId}: it shows {item.signature}, expected {expected}")

    def _signature(self, item: TransferShape) -> str | None:
        """What stands beside a transfer: the wallet's signature, else its block's, none while it is pending."""
        if item.order is not None:
            return str(item.order["signature"])
        if item.block is None or self.block is None:
            return None
        return str(self.block.signature["signatures"][0]["sig"])

    def _summary(self, state: str, net: str) -> dict[str, Any]:
        audit = self.audit
        last = audit.last
        return {
            "network": net,
            "height": last.header["height"] if last else -1,
            "head": last.hash if last else "",
            "genesis": genesis.digest(audit.document) if audit.document is not None else "",
            "transfers": audit.transfers,
            "pending": audit.pending,
            "blocks": audit.blocks,
            "minted": str(audit.minted),
            "burned": str(audit.burned),
            "state": state,
        }

    def _compare(self, manifest: Mapping[str, Any], summary: Mapping[str, Any], reader: Reader) -> None:
        """The signed manifest with what the file turned out to hold."""
        if not manifest:
            return
        hashes, lines = reader.hashes, reader.lines
        for name in SUMMARY:
            if manifest.get(name) != summary[name]:
                self.broken.append(f"{MANIFEST}: {name} is {manifest.get(name)}, the file's lines make {summary[name]}")
        for name in (LEDGER, GENESIS, KEYS):
            said = manifest["files"][name]
            if name in hashes and said["sha256"] != hashes[name]:
                self.broken.append(f"{name}: its hash is {hashes[name]}, the manifest says {said['sha256']}")
        if manifest["files"][LEDGER]["lines"] != lines:
            self.broken.append(
                f"{LEDGER}: it has {lines} lines, the manifest says {manifest['files'][LEDGER]['lines']}"
            )


def _balance(item: AccountShape) -> int:
    if not item.balance.lstrip("-").isdecimal() or str(int(item.balance)) != item.balance:
        raise ExportBroken(f"{item.balance} is not a balance")
    return int(item.balance)
