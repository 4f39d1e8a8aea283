"""Registrations a second: token, challenge, proof-of-work, key, broker account with its rule saved, signed answer."""

import json
from typing import Any
from uuid import uuid4

from bench.figures.heartbeat import pound
from bench.network import platform

NODES = 200
RUNS = 3


def measure() -> dict[str, Any]:
    """The median of three runs; proofs of work are solved beforehand, they are the node's own time."""
    with platform():
        prepare()
        rates = sorted(pound("/api/v1/pool/register", newcomers(run), b"201") for run in range(RUNS))
    return {
        "figure": "register",
        "ours": round(rates[RUNS // 2], 1),
        "unit": "registrations/s",
        "peer": "gpustack server",
        "theirs": None,
        "ratio": None,
        "n": NODES,
        "note": f"16 connections, clients on the same cores; goal ≥ 20; runs: {[round(rate, 1) for rate in rates]}",
    }


def prepare() -> None:
    """This network takes many nodes, and quick proofs."""
    from apps.core.parameters import set_parameter
    from workers.protocol.clock import utcnow

    for name, value in (("operators.max_nodes", 10_000), ("operators.pow_zeros", 1)):
        set_parameter(name, value, actor=None, reason="a measurement", now=utcnow())


def newcomers(run: int) -> list[bytes]:
    """Signed registrations, each with a token of its own, by forty operators."""
    from apps.core import platform_keys
    from apps.core.models import User
    from apps.operators import enrolment
    from apps.operators.models import Operator, Stake
    from workers.protocol import pow as proof_of_work
    from workers.protocol.clock import utcnow
    from workers.protocol.envelope import sign_envelope
    from workers.protocol.ids import new_id
    from workers.protocol.keys import SealingKey, SigningKey, b64

    owners = []
    for n in range(40):
        user, now = User.objects.create_user(email=f"bench-{run}-{n}@example.org"), utcnow()
        owner = Operator.objects.create(id=new_id("op", now), user=user, tier="ORACLE", region="eu", approved_at=now)
        Stake.objects.create(id=uuid4(), operator=owner, amount=1, locked_at=now)
        owners.append(owner)
    made = []
    for n in range(NODES):
        now, signing, sealing = utcnow(), SigningKey.generate(), SealingKey.generate()
        token = enrolment.issue_token(owners[n % 40], f"bench-{n}", now)
        given = enrolment.challenge(token, now)
        body = {
            "token": token,
            "name": f"bench-{n}",
            "sign_public": b64(signing.public),
            "seal_public": b64(sealing.public),
            "probe": {"gpu_type": "cpu", "memory_mb": 8000, "frameworks": ["numpy", "onnxruntime"]},
            "challenge": given["challenge"],
            "nonce": proof_of_work.solve(given["challenge"], b64(signing.public), given["zeros"]),
        }
        net = platform_keys.network_id()
        raw = sign_envelope("node.register", body, key=signing, net=net, sender=signing.kid, to="platform", now=now)
        made.append(json.dumps(raw).encode())
    return made
