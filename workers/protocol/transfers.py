"""A transfer's public form, who signed it, and the id that it must have. Nothing here needs a database.

The form is `{txId, from, to, amount, txType, memo, timestamp, hold, authorisation}`; its canonical JSON is the leaf of
the block's tree, in which the authorisation stands by its hash. Beside it a transfer shows `signature`: a wallet's own
over its order where a person moved money, else the platform's over the block, and none until a block seals it.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any
from uuid import UUID

from workers.protocol import canonical
from workers.protocol.amounts import base_units, units_of
from workers.protocol.errors import ProtocolError
from workers.protocol.keys import fingerprint, unb64, verify
from workers.protocol.ledger_ids import named, release_of

FORM_FIELDS = ("txId", "from", "to", "amount", "txType", "memo", "timestamp", "hold", "authorisation")
PLACE_FIELDS = ("block", "index", "leaf", "signature", "signer", "order")
WALLET = "wallet"
# What nobody but a wallet's owner can have ordered.
ORDERED_KINDS = frozenset({"transfer"})
# The purpose for which a wallet signs what becomes a transfer of that kind.
PURPOSES = {"transfer": "transfer", "stake.lock": "stake"}
MOST_PROVIDERS = 64
_NAMED_BY_MEMO = {
    "emission": ("emission", "memo"),
    "reward.epoch": ("epoch", "memo", "owner", "wallet"),
    "reward.escrow": ("epoch", "memo", "owner", "escrow"),
    "escrow.release": ("escrow", "owner", "memo"),
    "slash.escrow": ("slash", "memo"),
    "slash.burn": ("slash", "memo", "burn"),
    "slash.treasury": ("slash", "memo", "treasury"),
    "slash.return": ("slash", "memo", "return"),
    "slash.bond": ("slash", "memo", "bond"),
    "grant.stake": ("stake-grant", "owner"),
}


def authorisation_hash(authorisation: Mapping[str, Any]) -> str:
    """How an authorisation stands in the public form: 64 hex digits."""
    return sha256(canonical.dumps(dict(authorisation))).hexdigest()


def order_of(authorisation: Mapping[str, Any]) -> dict[str, Any] | None:
    """The wallet's signed order, which everybody may see; None where the platform made the transfer."""
    return dict(authorisation) if authorisation.get("by") == WALLET and "document" in authorisation else None


def public(
    form: Mapping[str, Any],
    *,
    block: int | None,
    index: int | None,
    block_signature: Mapping[str, Any] | None,
    order: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The form with its place and signature; `block_signature` is the block's signed document."""
    signature: str | None = None
    signer: dict[str, Any] | None = None
    if order is not None:
        signature, signer = order["signature"], {"by": WALLET, "key": order["public"], "over": "order"}
    elif block_signature is not None:
        [one] = block_signature["signatures"]
        signature, signer = one["sig"], {"by": "platform", "key": one["keyid"], "over": "block"}
    return {
        **form,
        "block": block,
        "index": index,
        "signature": signature,
        "signer": signer,
        "order": None if order is None else dict(order),
    }


def order_fault(order: Mapping[str, Any], form: Mapping[str, Any], net: str) -> str:
    """What is wrong with a wallet's order as the authorisation of this transfer; nothing where it holds."""
    try:
        return _order_fault(order, order["document"], form, net)
    except (ProtocolError, KeyError, TypeError, ValueError, AttributeError) as error:
        return f"its order is not whole: {type(error).__name__}: {error}"


def _order_fault(order: Mapping[str, Any], said: Mapping[str, Any], form: Mapping[str, Any], net: str) -> str:
    public_key = unb64(order["public"])
    if not verify(public_key, unb64(order["signature"]), canonical.dumps(said)):
        return "its order is not signed by the wallet"
    if not (fingerprint(public_key) == order["wallet"] == said["wallet"]):
        return f"its order names wallet {said['wallet']}, the key is that of {fingerprint(public_key)}"
    purpose = PURPOSES.get(form["txType"])
    for name, value in {"net": net, "purpose": purpose or said["purpose"]}.items():
        if said[name] != value:
            return f"its order's {name} is {said[name]!r}, expected {value!r}"
    return _payment_fault(said, form) if purpose else ""


def _payment_fault(said: Mapping[str, Any], form: Mapping[str, Any]) -> str:
    if units_of(said["amount"]) != base_units(form["amount"]):
        return f"its order moves {units_of(said['amount'])}, it moves {form['amount']}"
    if form["timestamp"] > said["deadline"]:
        return f"its order ended at {said['deadline']}, it was posted at {form['timestamp']}"
    if said["purpose"] != "transfer":
        return ""
    # A wallet's fingerprint stands for its owner's account; which one that is, only the platform can say.
    if ":" in said["to"] and said["to"] != form["to"]:
        return f"its order pays {said['to']}, it pays {form['to']}"
    if said["memo"] != form["memo"]:
        return f"its order's memo is {said['memo']!r}, expected {form['memo']!r}"
    return ""


def id_fault(form: Mapping[str, Any], order: Mapping[str, Any] | None, net: str) -> str:
    """What is wrong with an id that follows from what the transfer is for; nothing where it fits or is free."""
    first: UUID | None = None
    for expected in _ids(form, order, net):
        if str(expected) == form["txId"]:
            return ""
        first = first or expected
    return f"its id should be {first}" if first else ""


def _ids(form: Mapping[str, Any], order: Mapping[str, Any] | None, net: str) -> Iterator[UUID]:
    """Every id that a transfer of that kind may have; none where its maker chose it freely."""
    family, _, part = form["txType"].partition(".")
    to_owner = form["to"].partition(":")[2]
    if family == "fee" and part and form["hold"]:
        names = [part] if part != "provider" else [f"provider:{i}" for i in range(MOST_PROVIDERS)]
        yield from (named("settle", form["memo"], name) for name in names)
    elif family == "hold" and form["hold"]:
        yield UUID(form["hold"]) if part == "place" else release_of(UUID(form["hold"]))
    elif family == "genesis":
        yield named("genesis", net, part)
    elif family == "faucet":
        yield named("faucet", part, to_owner)
    elif form["txType"] in _NAMED_BY_MEMO:
        words = [{"memo": form["memo"], "owner": to_owner}.get(word, word) for word in _NAMED_BY_MEMO[form["txType"]]]
        yield named(*words)
    elif form["txType"] == "stake.release":
        yield UUID(form["memo"])
    elif order is not None and form["txType"] in PURPOSES:
        yield named(PURPOSES[form["txType"]], order["wallet"], order["document"]["id"])
