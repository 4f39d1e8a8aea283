"""The chain's first block: a document with a deterministic hash, and the transfers that it orders."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.db import connection, transaction

from apps.core import parameters
from apps.ledger import accounts, amounts, blocks
from apps.ledger.errors import GenesisDiffers
from apps.ledger.ids import named
from apps.ledger.models import AccountKind, Block, Genesis, Transfer, authorised_by_platform
from apps.ledger.posting import NewTransfer, post_all
from workers.protocol import canonical
from workers.protocol.clock import from_unix_ms, unix_ms

QUORUM = "0.51"
TIMELOCK_MS = 172_800_000


def document(
    *,
    network: str,
    testnet: bool,
    timestamp: datetime,
    block_seconds: int,
    models: Sequence[dict[str, Any]] = (),
    shards: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """What the network starts with. The same arguments and parameters give the same document; it holds no balances."""
    return {
        "blockNumber": 0,
        "timestamp": unix_ms(timestamp),
        "network": network,
        "treasury": {"address": "treasury:system", "amount": str(parameters.get("genesis.treasury"))},
        "faucet": {"address": "faucet:system", "amount": str(parameters.get("genesis.faucet") if testnet else 0)},
        "models": list(models),
        "shards": list(shards),
        "config": {
            "quorum": QUORUM,
            "timelockMs": TIMELOCK_MS,
            "feeFloor": amounts.show(parameters.get("fees.floor")),
            "maxSupply": str(amounts.MAX_SUPPLY),
            "blockSeconds": block_seconds,
        },
    }


def digest(document: dict[str, Any]) -> str:
    """SHA-256 of the canonical document, 64 hex digits."""
    return sha256(canonical.dumps(document)).hexdigest()


def exists() -> bool:
    """Whether this network has started."""
    return Genesis.objects.exists()


def stored() -> dict[str, Any] | None:
    """The document that this network started with."""
    genesis = Genesis.objects.first()
    return genesis.document if genesis else None


@transaction.atomic
def write(document: dict[str, Any], now: datetime) -> Block:
    """Mint the treasury, fill the testnet's faucet, and seal both as block 0, dated as the document says.

    The same document again changes nothing. Raises GenesisDiffers where the network started otherwise.
    """
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", [blocks.SEQUENCER])
    genesis = Genesis.objects.select_related("block").first()
    if genesis is not None and genesis.hash == digest(document):
        return genesis.block
    if genesis is not None or Transfer.objects.exists():
        raise GenesisDiffers
    start = from_unix_ms(document["timestamp"])
    post_all(first_transfers(document), now=start)
    block = blocks.seal(0, None, start, prev=digest(document))
    Genesis.objects.create(block=block, hash=digest(document), document=document)
    return block


def first_transfers(document: dict[str, Any]) -> list[NewTransfer]:
    """The transfers that a genesis document orders."""
    mint, treasury, faucet = (
        accounts.system(kind).pk for kind in (AccountKind.MINT, AccountKind.TREASURY, AccountKind.FAUCET)
    )
    network, by = document["network"], authorised_by_platform(f"genesis:{digest(document)}")
    ordered = [
        ("treasury", mint, treasury, int(document["treasury"]["amount"])),
        ("faucet", treasury, faucet, int(document["faucet"]["amount"])),
    ]
    return [
        NewTransfer(named("genesis", network, name), debit, credit, amount, f"genesis.{name}", by)
        for name, debit, credit, amount in ordered
        if amount
    ]
