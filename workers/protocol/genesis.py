"""The document that a ledger starts from: what it must have, its hash, its signature, and the transfers it orders.

`{blockNumber: 0, timestamp, network, treasury: {address, amount}, models, shards, config: {quorum, timelockMs,
feeFloor}, chain: {blockSeconds, maxSupply, faucet: {address, amount}}}`; amounts are decimal numbers of MESH. It is
signed by the genesis account, which is the network's root key: whoever pins the root needs nothing else to know the
beginning, and the key is needed for no block after it.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from workers.protocol import canonical
from workers.protocol.amounts import MAX_SUPPLY, units_of
from workers.protocol.envelope import KnownKey, open_document
from workers.protocol.errors import ProtocolError
from workers.protocol.keys import kid_of
from workers.protocol.ledger_ids import named

KIND = "ledger.genesis"
MINT = "mint:system"
FIELDS = {"blockNumber", "timestamp", "network", "treasury", "models", "shards", "config", "chain"}
CONFIG_FIELDS = {"quorum", "timelockMs", "feeFloor"}
CHAIN_FIELDS = {"blockSeconds", "maxSupply", "faucet"}
ACCOUNT_FIELDS = {"address", "amount"}


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical document, 64 hex digits: what block 0 names as its predecessor."""
    return sha256(canonical.dumps(dict(document))).hexdigest()


def fault(document: Any) -> str:
    """What is wrong with the document's form; nothing where it is whole."""
    if not isinstance(document, dict) or set(document) != FIELDS:
        return f"it has exactly the fields {', '.join(sorted(FIELDS))}"
    parts = (
        ("config", document["config"], CONFIG_FIELDS),
        ("chain", document["chain"], CHAIN_FIELDS),
        ("treasury", document["treasury"], ACCOUNT_FIELDS),
    )
    for name, part, fields in parts:
        if not isinstance(part, dict) or set(part) != fields:
            return f"its {name} has exactly the fields {', '.join(sorted(fields))}"
    if document["blockNumber"] != 0:
        return "its blockNumber is 0"
    try:
        minted, given = units_of(document["treasury"]["amount"]), units_of(document["chain"]["faucet"]["amount"])
    except (ValueError, KeyError, TypeError) as error:
        return str(error)
    return "" if given <= minted <= MAX_SUPPLY else "it mints more than may exist, or gives away more than it mints"


def slot(document: Mapping[str, Any], at_ms: int) -> int:
    """The height that belongs to a moment (unix ms); negative before the beginning."""
    return (at_ms - int(document["timestamp"])) // (1000 * int(document["chain"]["blockSeconds"]))


def ordered(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The transfers of block 0 as `{txId, from, to, amount, txType}`, amounts in base units as decimal strings."""
    network, treasury, faucet = document["network"], document["treasury"], document["chain"]["faucet"]
    moves = (
        ("treasury", MINT, treasury["address"], treasury["amount"]),
        ("faucet", treasury["address"], faucet["address"], faucet["amount"]),
    )
    return [
        {
            "txId": str(named("genesis", network, name)),
            "from": payer,
            "to": payee,
            "amount": str(units),
            "txType": f"genesis.{name}",
        }
        for name, payer, payee, mesh in moves
        if (units := units_of(mesh))
    ]


def is_signed(document: Mapping[str, Any], signature: Mapping[str, Any], root_public: bytes) -> bool:
    """Whether the network's root key signed exactly this document."""
    root = KnownKey(root_public, "root")
    try:
        opened = open_document(
            signature,
            kind=KIND,
            resolve=lambda kid: root if kid == kid_of(root_public) else None,
            net=str(document["network"]),
        )
    except ProtocolError:
        return False
    return opened.body == document and opened.issued_at == document["timestamp"]
