"""A whole receipt: one job of three chunks on two nodes, paid in two blocks among other people's transfers."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from tests.workers.protocol.cast import ALICE, BOB, NET, NOW, PLATFORM, key_list
from workers.protocol import canonical, merkle
from workers.protocol.blocks import KIND as BLOCK_KIND
from workers.protocol.blocks import block_hash, transfer_leaf
from workers.protocol.clock import unix_ms
from workers.protocol.envelope import sign_document, sign_envelope
from workers.protocol.keys import SigningKey, b64
from workers.protocol.receipts import KIND

JOB = "job_1"
FEE = 1000


def result(task: str, node: str, key: SigningKey, said: Mapping[str, Any] | None = None, **to: str) -> dict[str, Any]:
    """What a node signed about its chunk."""
    body = {
        "job": JOB,
        "task": task,
        "attempt": 1,
        "ok": True,
        "error": None,
        "result_sha256": sha256(task.encode()).hexdigest(),
        "sealed_sha256": sha256(b"sealed").hexdigest(),
        "usage": {"items": 32, "tokens_in": 100, "tokens_out": 0},
        "duration_ms": 40,
        **(said or {}),
    }
    addresses = {"net": NET, "sender": node, "to": "platform", **to}
    return sign_envelope("task.result", body, key=key, now=NOW, **addresses)


def chunk(index: int, node: str, key: SigningKey, **changes: Any) -> dict[str, Any]:
    """One accepted chunk."""
    task = f"tsk_{index}"
    return {
        "task": task,
        "index": index,
        "attempt": 1,
        "node": node,
        "node_public": b64(key.public),
        "items": 32,
        "result_sha256": sha256(task.encode()).hexdigest(),
        "envelope": result(task, node, key),
        "validation": "shape",
        "fee": str(FEE),
        **changes,
    }


def leaf(number: int, kind: str, amount: int, memo: str) -> dict[str, Any]:
    """A transfer's public form."""
    return {
        "txId": str(UUID(int=number)),
        "from": "hold:job_1",
        "to": "wallet:user:12",
        "amount": str(amount),
        "txType": kind,
        "memo": memo,
        "timestamp": unix_ms(NOW),
        "hold": str(UUID(int=7)),
        "authorisation": sha256(b"authorised").hexdigest(),
    }


def payment(first: int, task: str) -> list[dict[str, Any]]:
    """What one chunk's fee became."""
    parts = (("fee.provider", 900), ("fee.burn", 60), ("fee.treasury", 40))
    return [leaf(first + n, kind, amount, task) for n, (kind, amount) in enumerate(parts)]


def block(height: int, leaves: Sequence[Mapping[str, Any]], now: datetime, **changes: Any) -> dict[str, Any]:
    """A signed block of those transfers."""
    header = {
        "height": height,
        "net": NET,
        "prev": sha256(b"before").hexdigest(),
        "root": merkle.root([transfer_leaf(one) for one in leaves]).hex(),
        "count": len(leaves),
        "minted": "0",
        "burned": "60",
        "sealed_at": unix_ms(now),
        **changes,
    }
    claim = {"hash": block_hash(header), "height": header["height"]}
    return {
        "header": header,
        "hash": block_hash(header),
        "signature": sign_document(BLOCK_KIND, claim, key=PLATFORM, net=NET, now=now),
    }


def proven(leaves: Sequence[Mapping[str, Any]], height: int, memos: set[str]) -> list[dict[str, Any]]:
    """The transfers for those chunks with their proofs."""
    tree = [transfer_leaf(one) for one in leaves]
    return [
        {
            "leaf": one,
            "index": index,
            "proof": [step.hex() for step in merkle.inclusion_proof(tree, index)],
            "block": height,
        }
        for index, one in enumerate(leaves)
        if one["memo"] in memos
    ]


OTHERS = [leaf(900 + n, "fee.provider", 5, f"tsk_other_{n}") for n in range(3)]
FIRST = [*OTHERS[:1], *payment(100, "tsk_0"), *payment(200, "tsk_1"), *OTHERS[1:]]
SECOND = payment(300, "tsk_2")


def whole() -> dict[str, Any]:
    """A receipt's body; everything in it holds."""
    return {
        "job": JOB,
        "kind": "embed",
        "model": "all-MiniLM-L6-v2",
        "version": "1",
        "artifacts": [{"name": "model.onnx", "sha256": sha256(b"model").hexdigest()}],
        "status": "COMPLETED",
        "requester": "user:3",
        "price": str(3 * FEE),
        "chunks": [chunk(0, "node_alice", ALICE), chunk(1, "node_bob", BOB), chunk(2, "node_alice", ALICE)],
        "transfers": proven(FIRST, 5, {"tsk_0", "tsk_1"}) + proven(SECOND, 9, {"tsk_2"}),
        "blocks": [block(5, FIRST, NOW), block(9, SECOND, NOW + timedelta(minutes=4))],
        "key_list": key_list(),
    }


def issued(body: Mapping[str, Any], key: SigningKey = PLATFORM, now: datetime = NOW) -> dict[str, Any]:
    """The receipt, signed."""
    return sign_document(KIND, body, key=key, net=NET, now=now + timedelta(minutes=5))


def copied(body: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that can be changed."""
    return dict(canonical.loads(canonical.dumps(dict(body))))
