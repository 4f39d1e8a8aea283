"""Proofs that one transfer stands in a sealed block: made from an export, checked with nothing but themselves."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from workers.protocol import merkle
from workers.protocol.blocks import KIND as BLOCK_KIND
from workers.protocol.blocks import block_hash, transfer_leaf
from workers.protocol.envelope import open_document, unverified_payload
from workers.protocol.errors import EnvelopeMalformed, ProtocolError
from workers.protocol.keylist import KeyList, open_key_list
from workers.protocol.keys import fingerprint, unb64
from workers.protocol.ledger_export import (
    KEYS,
    BlockShape,
    ExportBroken,
    Reader,
    TransferShape,
    form_of,
    is_header,
)
from workers.protocol.ledger_verify import Verdict
from workers.protocol.transfers import FORM_FIELDS, authorisation_hash, order_fault

PROOF_FORMAT = "meshwork.ledger.proof"


def proof_from_export(path: Path, transfer_id: str) -> dict[str, Any]:
    """The proof of one sealed transfer, made from an export alone. Raises ExportBroken where it is not in there."""
    reader = Reader(path)
    block: BlockShape | None = None
    leaves: list[bytes] = []
    wanted: TransferShape | None = None
    for item in reader.items():
        if isinstance(item, BlockShape):
            if wanted is not None:
                break
            block, leaves = item, []
        elif isinstance(item, TransferShape) and item.block is not None:
            leaves.append(merkle.leaf_hash(transfer_leaf(form_of(item))))
            wanted = item if item.txId == transfer_id else wanted
        elif wanted is not None:
            break
    if wanted is None or block is None or wanted.index is None:
        raise ExportBroken(f"{path.name} holds no sealed transfer {transfer_id}")
    made = {"header": block.header, "hash": block.hash, "signature": block.signature}
    path_up = merkle.proofs_of_hashes(leaves, [wanted.index])[0]
    return proof(form_of(wanted), wanted.index, path_up, made, wanted.order, reader.part(KEYS))


def proof(
    form: Mapping[str, Any],
    index: int,
    path: list[bytes],
    block: Mapping[str, Any],
    order: Mapping[str, Any] | None,
    keys: Mapping[str, Any],
) -> dict[str, Any]:
    """A proof's document: the leaf, its way up to the root, the block that signs the root, and the signing keys."""
    return {
        "format": PROOF_FORMAT,
        "leaf": dict(form),
        "index": index,
        "proof": [step.hex() for step in path],
        "block": dict(block),
        "order": None if order is None else dict(order),
        "keys": dict(keys),
    }


def looks_like_proof(document: Any) -> bool:
    """Whether it says that it is one."""
    return isinstance(document, dict) and document.get("format") == PROOF_FORMAT


PROOF_RULES = {
    "keys": "The platform's keys are in a list signed by the network's root key.",
    "block": "The block is whole and signed by the platform.",
    "inclusion": "The transfer is a leaf of the block's tree.",
    "order": "A person's transfer carries that wallet's signature.",
}


def verify_proof(document: Mapping[str, Any], *, root: str | None = None, block: str | None = None) -> Verdict:
    """Check a proof with nothing but itself and what the reader pins: the root's fingerprint, a block's hash."""
    found: dict[str, list[str]] = {name: [] for name in PROOF_RULES}
    trusts = "" if root or block else "The proof names its own root key; give --root to pin the network you trust."
    verdict = Verdict(PROOF_RULES, found, trusts=trusts)
    rule = "keys"
    try:
        claimed = fingerprint(unb64(unverified_payload(document["keys"])["body"]["root_public"]))
        keys = open_key_list(document["keys"], root or claimed)
        rule = "block"
        header = document["block"]["header"]
        found["block"] += _block_faults(document["block"], keys, block)
        rule = "inclusion"
        form = document["leaf"]
        if set(form) != set(FORM_FIELDS):
            raise EnvelopeMalformed(f"a transfer has the fields {', '.join(FORM_FIELDS)}")
        steps = [bytes.fromhex(step) for step in document["proof"]]
        leaf, top = transfer_leaf(form), bytes.fromhex(header["root"])
        if not merkle.verify_inclusion(leaf, document["index"], header["count"], steps, top):
            found["inclusion"].append(f"transfer {form['txId']}: it does not lead to root {header['root']}")
        rule = "order"
        found["order"] += _order_faults(document, keys.network)
    except (ProtocolError, KeyError, TypeError, ValueError, AttributeError) as error:
        found[rule].append(f"the proof is not whole: {type(error).__name__}: {error}")
        return verdict
    verdict.summary = {
        "network": keys.network,
        "transfer": form,
        "height": header["height"],
        "hash": document["block"]["hash"],
    }
    return verdict


def _block_faults(block: Mapping[str, Any], keys: KeyList, pinned: str | None) -> list[str]:
    header, name = block["header"], f"block {block['header']['height']}"
    faults = []
    if not is_header(header) or (made := block_hash(header)) != block["hash"]:
        return [f"{name}: its hash is {block['hash']}, its header makes another"]
    if pinned is not None and made != pinned:
        faults.append(f"{name}: its hash is {made}, expected {pinned}")
    opened = open_document(
        block["signature"], kind=BLOCK_KIND, resolve=partial(keys.resolve, at_ms=header["sealed_at"]), net=keys.network
    )
    if opened.body != {"hash": block["hash"], "height": header["height"]} or header["net"] != keys.network:
        faults.append(f"{name}: another block was signed")
    return faults


def _order_faults(document: Mapping[str, Any], net: str) -> list[str]:
    form, order = document["leaf"], document["order"]
    if order is None:
        return []
    if authorisation_hash(order) != form["authorisation"]:
        return [f"transfer {form['txId']}: its order is not the one that was sealed"]
    wrong = order_fault(order, form, net)
    return [f"transfer {form['txId']}: {wrong}"] if wrong else []
