"""Checking a job's receipt offline: from the root key down to every node's signature, fee, transfer and block."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from workers.protocol import merkle
from workers.protocol.blocks import HEADER_FIELDS, block_hash, transfer_leaf
from workers.protocol.blocks import KIND as BLOCK_KIND
from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.envelope import KnownKey, check_signature, open_document, unverified_payload
from workers.protocol.errors import ProtocolError
from workers.protocol.keylist import PLATFORM, KeyList, open_key_list
from workers.protocol.keys import fingerprint, kid_of, unb64

KIND = "receipt.job"
PAYMENTS = {"fee.provider", "fee.burn", "fee.treasury"}
UNITS = re.compile(r"0|[1-9][0-9]{0,38}")
FIELDS = {
    "receipt": {
        "job",
        "kind",
        "model",
        "version",
        "artifacts",
        "status",
        "requester",
        "price",
        "chunks",
        "transfers",
        "blocks",
        "key_list",
    },
    "artifact": {"name", "sha256"},
    "chunk": {
        "task",
        "index",
        "attempt",
        "node",
        "node_public",
        "items",
        "result_sha256",
        "envelope",
        "validation",
        "fee",
    },
    "transfer": {"leaf", "index", "proof", "block"},
    "block": {"header", "hash", "signature"},
    "header": set(HEADER_FIELDS),
}


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


def units(text: Any) -> int:
    """An amount in base units from its decimal string; raises ValueError for any other spelling."""
    if not isinstance(text, str) or not UNITS.fullmatch(text):
        raise ValueError(f"{text!r} is not an amount")
    return int(text)


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
    _verify_shape(body)
    in_time = opened.issued_at <= unix_ms(utcnow()) + 300_000
    verdict.add("platform", in_time, f"signed by key {opened.kid} of {keys.network}")
    _verify_chunks(body, keys.network, verdict)
    headers = _verify_blocks(body["blocks"], keys, verdict)
    _verify_transfers(body["transfers"], headers, verdict)
    _verify_fees(body, verdict)


def _verify_shape(body: Mapping[str, Any]) -> None:
    """No field but those that are checked or shown: what nobody checks must not look as if somebody had."""
    parts = [("receipt", body)]
    parts += [("artifact", item) for item in body["artifacts"]]
    parts += [("chunk", item) for item in body["chunks"]]
    parts += [("transfer", item) for item in body["transfers"]]
    parts += [("block", item) for item in body["blocks"]]
    parts += [("header", item["header"]) for item in body["blocks"]]
    for name, part in parts:
        if set(part) != FIELDS[name]:
            raise ValueError(f"a {name} has the fields {', '.join(sorted(part))}")


def _verify_chunks(body: Mapping[str, Any], net: str, verdict: Verdict) -> None:
    """Each accepted chunk carries its node's own signature over the result's hash."""
    chunks = body["chunks"]
    once = all(len({chunk[name] for chunk in chunks}) == len(chunks) for name in ("index", "task"))
    verdict.add("chunks", once, f"{len(chunks)}, each once")
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
        and (payload["from"], payload["to"]) == (chunk["node"], PLATFORM)
        and said["ok"] is True
        and (said["job"], said["task"], said["attempt"]) == (job, chunk["task"], chunk["attempt"])
        and said["result_sha256"] == chunk["result_sha256"]
        and said["usage"]["items"] == chunk["items"]
    )


def _verify_blocks(blocks: Sequence[Mapping[str, Any]], keys: KeyList, verdict: Verdict) -> dict[int, dict[str, Any]]:
    """Every block is whole and signed by the platform; returns the headers by height."""
    headers: dict[int, dict[str, Any]] = {}
    for block in blocks:
        header, claim = block["header"], {"hash": block["hash"], "height": block["header"]["height"]}
        resolve = partial(keys.resolve, at_ms=header["sealed_at"])
        opened = open_document(block["signature"], kind=BLOCK_KIND, resolve=resolve, net=keys.network)
        hashed = block_hash(header) == block["hash"] and header["net"] == keys.network
        holds = hashed and opened.body == claim and header["height"] not in headers
        verdict.add(f"block {header['height']}", holds, f"hash {block['hash'][:16]}…, signed by key {opened.kid}")
        headers[header["height"]] = header
    return headers


def _verify_transfers(
    transfers: Sequence[Mapping[str, Any]], headers: Mapping[int, Mapping[str, Any]], verdict: Verdict
) -> None:
    """Every transfer stands, once, in one of the blocks."""
    ids = [str(item["leaf"]["txId"]) for item in transfers]
    bad = [txid for txid, item in zip(ids, transfers, strict=True) if not _is_proven(item, headers[item["block"]])]
    whole = not bad and len(set(ids)) == len(ids)
    detail = f"not proven: {', '.join(bad)}" if bad else "each once" if whole else "one stands twice"
    verdict.add("transfers", whole, f"{len(ids)} transfers, {detail}")
    unused = set(headers) - {item["block"] for item in transfers}
    if unused:
        verdict.add("blocks", False, f"no transfer stands in {', '.join(map(str, sorted(unused)))}")


def _is_proven(item: Mapping[str, Any], header: Mapping[str, Any]) -> bool:
    proof = [bytes.fromhex(step) for step in item["proof"]]
    root = bytes.fromhex(header["root"])
    spelt_once = [step.hex() for step in proof] == item["proof"]
    leaf = transfer_leaf(item["leaf"])
    return spelt_once and merkle.verify_inclusion(leaf, item["index"], header["count"], proof, root)


def _verify_fees(body: Mapping[str, Any], verdict: Verdict) -> None:
    """What each chunk cost is what was transferred for it, and all of it is not more than the price."""
    paid: Counter[str] = Counter()
    for item in body["transfers"]:
        amount = units(item["leaf"]["amount"])
        if item["leaf"]["txType"] in PAYMENTS:
            paid[item["leaf"]["memo"]] += amount
    fees = {chunk["task"]: units(chunk["fee"]) for chunk in body["chunks"]}
    total, moved = sum(fees.values()), paid.total()
    holds = {task: fee for task, fee in fees.items() if fee} == dict(paid) and total <= units(body["price"])
    verdict.add("fees", holds, f"{total} base units for {len(fees)} chunks, {moved} transferred")
