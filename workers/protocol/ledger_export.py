"""A ledger in one file that anybody verifies without its database: a zip of JSON lines and a signed manifest.

`ledger.jsonl` has a `{"block": …}` per block, each followed by its `{"transfer": …}`, then the pending transfers, then
an `{"account": …}` per account by address. `genesis.json` and `keys.json` hold the signed beginning and the platform's
signed key list; `manifest.json` is a document signed by the platform that names the other files' SHA-256.
"""

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from workers.protocol.blocks import HEADER_FIELDS
from workers.protocol.ledger_audit import BlockLine, Line
from workers.protocol.transfers import FORM_FIELDS, public

FORMAT = "meshwork.ledger.export"
VERSION = 1
KIND = "ledger.export"
LEDGER, GENESIS, KEYS, MANIFEST = "ledger.jsonl", "genesis.json", "keys.json", "manifest.json"
LONGEST_LINE = 2**20
UNREADABLE = (KeyError, OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error, msgspec.MsgspecError)
_MOMENT = (1980, 1, 1, 0, 0, 0)


class ExportBroken(ValueError):
    """The file is not a whole export: which line or part, and why."""


class BlockShape(msgspec.Struct, forbid_unknown_fields=True):
    """A block's line."""

    header: dict[str, str | int]
    hash: str
    signature: dict[str, Any]


class TransferShape(msgspec.Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A transfer's line."""

    txId: str
    from_: str
    to: str
    amount: str
    txType: str
    memo: str
    timestamp: int
    hold: str | None
    authorisation: str
    block: int | None
    index: int | None
    leaf: str | None
    signature: str | None
    signer: dict[str, str] | None
    order: dict[str, Any] | None


class AccountShape(msgspec.Struct, forbid_unknown_fields=True):
    """An account's line; its balance is a decimal string of base units."""

    address: str
    balance: str


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    block: BlockShape | None = None
    transfer: TransferShape | None = None
    account: AccountShape | None = None


Item = BlockShape | TransferShape | AccountShape


class Writer:
    """Writes an export as an audit walks by. Leaving the block without `close` leaves no file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        self._digest = sha256()
        self._signature: Mapping[str, Any] | None = None
        self._encode = msgspec.json.Encoder().encode
        self._half = path.with_name(f"{path.name}.part")
        self._zip = zipfile.ZipFile(self._half, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._stream: IO[bytes] = self._zip.open(self._entry(LEDGER), "w", force_zip64=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._zip.close()
        self._half.unlink(missing_ok=True)

    def block(self, block: BlockLine) -> None:
        """The next block."""
        self._signature = block.signature
        self._write({"block": {"header": block.header, "hash": block.hash, "signature": block.signature}})

    def transfer(self, line: Line) -> None:
        """The next transfer of that block, or a pending one."""
        shown = public(
            line.form,
            block=line.block,
            index=line.place,
            block_signature=None if line.block is None else self._signature,
            order=line.order,
        )
        self._write({"transfer": {**shown, "leaf": line.leaf.hex() if line.leaf else None}})

    def account(self, address: str, balance: int) -> None:
        """The next account."""
        self._write({"account": {"address": address, "balance": str(balance)}})

    def close(
        self,
        genesis: Mapping[str, Any],
        keys: Mapping[str, Any],
        summary: Mapping[str, Any],
        sign: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> dict[str, Any]:
        """Add the signed parts and put the file in its place; returns the manifest. `sign` signs the manifest."""
        self._stream.close()
        files = {LEDGER: {"sha256": self._digest.hexdigest(), "lines": self.lines}}
        for name, value in ((GENESIS, genesis), (KEYS, keys)):
            data = self._encode(value)
            self._zip.writestr(self._entry(name), data)
            files[name] = {"sha256": sha256(data).hexdigest(), "lines": 1}
        manifest = {"format": FORMAT, "version": VERSION, **summary, "files": files}
        self._zip.writestr(self._entry(MANIFEST), self._encode(sign(manifest)))
        self._zip.close()
        self._half.replace(self.path)
        return manifest

    def _write(self, item: Mapping[str, Any]) -> None:
        data = self._encode(item) + b"\n"
        self._digest.update(data)
        self._stream.write(data)
        self.lines += 1

    @staticmethod
    def _entry(name: str) -> zipfile.ZipInfo:
        # Dated alike, so that one ledger makes one file.
        entry = zipfile.ZipInfo(name, _MOMENT)
        entry.compress_type = zipfile.ZIP_DEFLATED
        return entry


class Reader:
    """An export's parts, as far as they can be read; what they say is not believed yet."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise ExportBroken(f"{path.name} is not an export: {error}") from error
        self._decode = msgspec.json.Decoder(_Item).decode
        self.hashes: dict[str, str] = {}
        self.lines = 0

    def part(self, name: str) -> dict[str, Any]:
        """One of the small files; raises ExportBroken."""
        try:
            with self._zip.open(name) as file:
                data = file.read(LONGEST_LINE + 1)
            if len(data) > LONGEST_LINE:
                raise ExportBroken(f"{name}: it is too long")
            self.hashes[name] = sha256(data).hexdigest()
            return msgspec.json.decode(data, type=dict[str, Any])
        except UNREADABLE as error:
            raise ExportBroken(f"{name}: {error}") from error

    def items(self) -> Iterator[Item]:
        """The ledger's lines in order; raises ExportBroken with the number of the first that cannot be read."""
        digest, self.lines = sha256(), 0
        try:
            with self._zip.open(LEDGER) as file:
                while data := file.readline(LONGEST_LINE):
                    digest.update(data)
                    self.lines += 1
                    item = self._decode(data)
                    found = [part for part in (item.block, item.transfer, item.account) if part is not None]
                    if len(found) != 1:
                        raise ExportBroken(f"{LEDGER}, line {self.lines}: it is neither block, transfer nor account")
                    yield found[0]
        except UNREADABLE as error:
            raise ExportBroken(f"{LEDGER}, line {self.lines}: {error}") from error
        self.hashes[LEDGER] = digest.hexdigest()

    def close(self) -> None:
        """Let the file go."""
        self._zip.close()


def form_of(shape: TransferShape) -> dict[str, Any]:
    """The public form in a transfer's line."""
    return {name: getattr(shape, "from_" if name == "from" else name) for name in FORM_FIELDS}


def is_header(header: Mapping[str, Any]) -> bool:
    """Whether it has a header's fields, each of its type."""
    texts = {"net", "prev", "root"}
    return set(header) == set(HEADER_FIELDS) and all(
        type(value) is (str if name in texts else int) for name, value in header.items()
    )
