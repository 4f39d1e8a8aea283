"""Blocks of the ledger: batches of transfers with a Merkle root, chained by hash and signed."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from workers.protocol import canonical

HEADER_FIELDS = ("height", "net", "prev", "root", "count", "minted", "burned", "sealed_at")
KIND = "ledger.block"


def block_hash(header: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical header, 64 hex digits."""
    return sha256(canonical.dumps({name: header[name] for name in HEADER_FIELDS})).hexdigest()


def transfer_leaf(transfer: Mapping[str, Any]) -> bytes:
    """The bytes of a transfer's public form as they stand in the tree."""
    return canonical.dumps(dict(transfer))
