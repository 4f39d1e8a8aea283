"""Checking a job's receipt offline: from the root key down to every node's signature, fee, transfer and block."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from workers.protocol import merkle
from workers.protocol.blocks import KIND as BLOCK_KIND
from workers.protocol.blocks import block_hash, transfer_leaf
from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.envelope import KnownKey, check_signature, open_document, unverified_payload
from workers.protocol.errors import ProtocolError
from workers.protocol.keylist import KeyList, open_key_list
from workers.protocol.keys import fingerprint, kid_of, unb64

KIND = "receipt.job"
PAYMENTS = {"fee.provider", "fee.burn", "fee.treasury"}


@dataclass
class Verdict:
    """Each check with its outcome; the receipt holds only if all do."""

    checks: list[tuple[str, bool, str]] = field(default_factory=list)

    def add(self, name: str, ok: bool, detail: str) -> bool:
        """Note one check."""
        self.checks.append((name, ok, detail))
        return ok

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return bool(self.checks) and all(ok for _, ok, _ in self.checks)


def verify_receipt(receipt: Mapping[str, Any], root_fingerprint: str | None = None) -> Verdict:
    """Check a receipt with nothing but itself and, where given, the root fingerprint that the caller trusts."""
    verdict = Verdict()
    try:
        _verify(receipt, root_fingerprint, verdict)
    except (ProtocolError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        verdict.add("shape", False, f"the receipt is not whole: {type(error).__name__}: {error}")
    return verdict


def _verify(receipt: Mapping[str, Any], root: str | None, verdict: Verdict) -> None:
    claimed = unverified_payload(receipt)
    document = claimed["body"]["key_list"]
    pinned = root or fingerprint(unb64(unverified_payload(document)["body"]["root_public"]))
    keys = open_key_list(document, pinned)
    verdict.add("key list", True, f"signed by root {pinned[:16]}…" + ("" if root else " (named by the receipt itself)"))
    opened = open_document(
        receipt, kind=KIND, resolve=lambda kid: keys.resolve(kid, claimed["issued_at"]), net=keys.network
    )
    body = opened.body
    in_time = opened.issued_at <= unix_ms(utcnow()) + 300_000
    verdict.add("platform", in_time, f"signed by key {opened.kid} of {keys.network}")
    _verify_chunks(body, keys.network, verdict)
    paid = _verify_transfers(body, keys, verdict)
    _verify_fees(body, paid, verdict)


def _verify_chunks(body: Mapping[str, Any], net: str, verdict: Verdict) -> None:
    """Each accepted chunk carries its node's own signature over the result's hash."""
    chunks = body["chunks"]
    indexes = [chunk["index"] for chunk in chunks]
    verdict.add("chunks", sorted(set(indexes)) == sorted(indexes), f"{len(chunks)}, each once")
    bad = [chunk["task"] for chunk in chunks if not _chunk_holds(chunk, str(body["job"]), net)]
    verdict.add(
        "results", not bad, "every result hash is signed by its node" if not bad else f"not held: {', '.join(bad)}"
    )


def _chunk_holds(chunk: Mapping[str, Any], job: str, net: str) -> bool:
    public = unb64(chunk["node_public"])
    known = KnownKey(public, chunk["node"])
    raw = chunk["envelope"]
    payload = unverified_payload(raw)
    try:
        # A result's envelope expires, so its signature and content are checked here, not its age.
        check_signature(raw, lambda kid: known if kid == kid_of(public) else None)
    except ProtocolError:
        return False
    said = payload["body"]
    return (
        payload["net"] == net
        and payload["kind"] == "task.result"
        and payload["from"] == chunk["node"]
        and said["ok"] is True
        and (said["job"], said["task"], said["attempt"]) == (job, chunk["task"], chunk["attempt"])
        and said["result_sha256"] == chunk["result_sha256"]
        and said["usage"]["items"] == chunk["items"]
    )


def _verify_transfers(body: Mapping[str, Any], keys: KeyList, verdict: Verdict) -> dict[str, int]:
    """Every transfer stands in a signed block; returns what was paid, by kind, in base units."""
    headers: dict[int, Mapping[str, Any]] = {}
    for block in body["blocks"]:
        header = block["header"]
        resolve = partial(keys.resolve, at_ms=header["sealed_at"])
        opened = open_document(block["signature"], kind=BLOCK_KIND, resolve=resolve, net=keys.network)
        holds = block_hash(header) == block["hash"] and opened.body == {
            "hash": block["hash"],
            "height": header["height"],
        }
        verdict.add(f"block {header['height']}", holds, f"hash {block['hash'][:16]}…, signed")
        headers[header["height"]] = header
    paid: dict[str, int] = {}
    bad = []
    for item in body["transfers"]:
        header, leaf = headers[item["block"]], item["leaf"]
        proof = [bytes.fromhex(step) for step in item["proof"]]
        root = bytes.fromhex(header["root"])
        if not merkle.verify_inclusion(transfer_leaf(leaf), item["index"], header["count"], proof, root):
            bad.append(str(leaf.get("txId")))
        paid[leaf["txType"]] = paid.get(leaf["txType"], 0) + int(leaf["amount"])
    ids = [item["leaf"]["txId"] for item in body["transfers"]]
    whole = not bad and len(set(ids)) == len(ids)
    verdict.add("transfers", whole, f"{len(ids)} proven in their blocks" if whole else f"not proven: {', '.join(bad)}")
    return paid


def _verify_fees(body: Mapping[str, Any], paid: Mapping[str, int], verdict: Verdict) -> None:
    """What the chunks cost is what was transferred, and not more than the price."""
    fees = sum(int(chunk["fee"]) for chunk in body["chunks"])
    moved = sum(amount for kind, amount in paid.items() if kind in PAYMENTS)
    holds = fees == moved and fees <= int(body["price"])
    verdict.add("fees", holds, f"{fees} base units for {len(body['chunks'])} chunks, {moved} transferred")
