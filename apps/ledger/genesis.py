"""The chain's first block: a document with a deterministic hash, and the transfers that it orders."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from apps.core import parameters, platform_keys
from apps.ledger import accounts, amounts, blocks
from apps.ledger.errors import GenesisDiffers
from apps.ledger.models import Block, Genesis, Transfer, authorised_by_platform
from apps.ledger.posting import NewTransfer, post_all
from workers.protocol.clock import from_unix_ms, unix_ms
from workers.protocol.envelope import sign_document
from workers.protocol.genesis import KIND, digest, ordered

__all__ = ["digest", "document", "exists", "first_transfers", "stored", "write"]

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
        "treasury": {"address": "treasury:system", "amount": amounts.show(parameters.get("genesis.treasury"))},
        "models": list(models),
        "shards": list(shards),
        "config": {
            "quorum": QUORUM,
            "timelockMs": TIMELOCK_MS,
            "feeFloor": amounts.show(parameters.get("fees.floor")),
        },
        "chain": {
            "blockSeconds": block_seconds,
            "maxSupply": amounts.show(amounts.MAX_SUPPLY),
            "faucet": {
                "address": "faucet:system",
                "amount": amounts.show(parameters.get("genesis.faucet") if testnet else 0),
            },
        },
    }


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

    The genesis account signs the document: the network's root key. The same document again changes nothing. Raises
    GenesisDiffers where the network started otherwise, KeysMissing where the root's private half is not at hand.
    """
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", [blocks.SEQUENCER])
    genesis = Genesis.objects.select_related("block").first()
    if genesis is not None and genesis.hash == digest(document):
        return genesis.block
    if genesis is not None or Transfer.objects.exists():
        raise GenesisDiffers
    start = from_unix_ms(document["timestamp"])
    signature = sign_document(KIND, document, key=platform_keys.root_key(), net=document["network"], now=start)
    post_all(first_transfers(document), now=start)
    block = blocks.seal(0, None, start, prev=digest(document))
    Genesis.objects.create(block=block, hash=digest(document), document=document, signature=signature)
    return block


def first_transfers(document: dict[str, Any]) -> list[NewTransfer]:
    """The transfers that a genesis document orders."""
    by = authorised_by_platform(f"genesis:{digest(document)}")
    return [
        NewTransfer(
            id=UUID(form["txId"]),
            debit=accounts.account(*form["from"].split(":", 1)).pk,
            credit=accounts.account(*form["to"].split(":", 1)).pk,
            amount=int(form["amount"]),
            kind=form["txType"],
            authorisation=by,
        )
        for form in ordered(document)
    ]
