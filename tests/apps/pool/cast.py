"""The pool's cast: a requester, operators with nodes, a model, and a stand-in for a node's worker."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import numpy as np
from django.db import transaction

from apps.core import platform_keys
from apps.core.models import User
from apps.ledger import accounts
from apps.ledger.models import Account, authorised_by_platform
from apps.ledger.posting import NewTransfer, post_all
from apps.models.models import Model, ModelVersion
from apps.operators.models import Node, NodeStatus, Operator
from apps.pool import classes, completion, sealing, take
from apps.pool.kinds import JobRequest
from apps.pool.take import Assignment
from workers.protocol import canonical
from workers.protocol.envelope import Envelope, KnownKey, open_envelope, sign_envelope
from workers.protocol.frames import encode_tensors
from workers.protocol.ids import new_id
from workers.protocol.keys import SealingKey, SigningKey, b64, unb64
from workers.protocol.sealing import job_info, open_sealed, seal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LANE = "inference.cpu"
MESH = 10**8
DIMENSIONS = 4
EMBEDDER = "little-embedder"
WRITER = "little-writer"


def later(seconds: float) -> datetime:
    """So many seconds after the scene begins."""
    return NOW + timedelta(seconds=seconds)


def vector(text: str) -> list[float]:
    """The stand-in model: a text's vector follows from the text alone."""
    digest = sha256(text.encode()).digest()
    return [digest[i] / 255 for i in range(DIMENSIONS)]


def frame(texts: Iterable[str]) -> bytes:
    """The stand-in model's answer to a chunk."""
    vectors = np.array([vector(text) for text in texts], np.float32)
    return encode_tensors({"kind": "embed", "model": EMBEDDER}, {"vectors": vectors})


def publish(name: str = EMBEDDER, task: str = "embed", **changes: Any) -> ModelVersion:
    """A model with an active version."""
    known = ["one", "two"]
    manifest = {
        "engine": "onnx",
        "task": task,
        "dimensions": DIMENSIONS,
        "files": [{"name": "model.onnx", "sha256": "ab" * 32, "size": 10}],
        "comparator": {"kind": "cosine", "min": "0.999"},
        "self_test": {"kind": "embed", "inputs": known, "expected": b64(frame(known))},
        **changes.pop("manifest", {}),
    }
    if task != "embed":
        del manifest["self_test"]
    model = Model.objects.create(
        id=new_id("mdl", NOW),
        name=name,
        title=name,
        family="little",
        task=task,
        parameters=changes.pop("parameters", 22_000_000),
        licence="Apache-2.0",
        source="tests",
        created_at=NOW,
    )
    return ModelVersion.objects.create(
        id=new_id("mdv", NOW),
        model=model,
        version=uuid4().hex[:12],
        manifest=manifest,
        min_memory_mb=changes.pop("min_memory_mb", 100),
        active=True,
        created_at=NOW,
    )


def user(name: str, **fields: Any) -> User:
    """A person with an account."""
    return User.objects.create_user(email=f"{name}@example.org", password="x", name=name, **fields)


def fund(account: Account, units: int) -> None:
    """Mint to an account."""
    made = NewTransfer(uuid4(), accounts.system("mint").pk, account.pk, units, "mint", authorised_by_platform("test"))
    with transaction.atomic():
        post_all([made], now=NOW)


def requester(name: str = "rita", units: int = 1000 * MESH) -> User:
    """A person with a full wallet."""
    person = user(name)
    fund(accounts.wallet(person), units)
    return person


def operator(name: str, **fields: Any) -> Operator:
    """An approved operator."""
    values = {"tier": "ORACLE", "region": "eu", "approved_at": NOW, **fields}
    if "user" not in values:
        values["user"] = user(name)
    return Operator.objects.create(id=new_id("op", NOW), **values)


@dataclass
class Machine:
    """A node with its keys: takes, opens, computes and answers as a real one does, by way of the same envelopes."""

    node: Node
    signing: SigningKey
    sealing: SealingKey
    answered: list[tuple[Envelope, bytes]] = field(default_factory=list)

    def take(self, n: int = 1, now: datetime = NOW, lane: str = LANE) -> list[Assignment]:
        return take.take(self.node.pk, lane, n, now)

    def start(self, task: Assignment, now: datetime = NOW) -> str:
        return completion.started(task.task_id, task.attempt, self.node, now)

    def payload(self, task: Assignment, now: datetime = NOW) -> dict[str, Any]:
        """Open the platform's envelope and unseal what is in it."""
        key = platform_keys.signing_key()
        known = KnownKey(key.public, "platform")
        opened = open_envelope(
            sealing.task_envelope(task, self.node, now),
            net=platform_keys.network_id(),
            to=self.node.pk,
            kinds={"task.run"},
            resolve=lambda kid: known if kid == key.kid else None,
            now=now,
            replay=None,
        )
        plain = open_sealed(self.sealing, unb64(opened.body["sealed"]), self.info(task))
        assert sha256(plain).hexdigest() == opened.body["payload_sha256"]
        return dict(canonical.loads(plain))

    def info(self, task: Assignment) -> bytes:
        return job_info(platform_keys.network_id(), task.job_id, task.task_id, task.attempt, self.node.pk)

    def compute(self, task: Assignment, now: datetime = NOW) -> bytes:
        """The stand-in model's answer."""
        given = self.payload(task, now)
        if "inputs" in given:
            return frame(given["inputs"])
        return canonical.dumps({"response": given["prompt"].upper(), "eval_count": 1, "prompt_eval_count": 1})

    def signed(
        self, task: Assignment, plain: bytes | None, now: datetime = NOW, **changes: Any
    ) -> tuple[Envelope, bytes]:
        """The result's envelope as the platform has opened it, and the sealed bytes; no result is an error."""
        sealed = seal(platform_keys.sealing_key().public, plain, self.info(task)) if plain is not None else b""
        body = {
            "job": task.job_id,
            "task": task.task_id,
            "attempt": task.attempt,
            "ok": plain is not None,
            "error": None if plain is not None else {"code": "engine_failed", "detail": "It broke."},
            "result_sha256": sha256(plain or b"").hexdigest(),
            "sealed_sha256": sha256(sealed).hexdigest(),
            "usage": {"items": task.items, "tokens_in": 2 * task.items, "tokens_out": 0},
            "duration_ms": 7,
            **changes,
        }
        raw = sign_envelope(
            "task.result",
            body,
            key=self.signing,
            net=platform_keys.network_id(),
            sender=self.node.pk,
            to="platform",
            now=now,
        )
        known = KnownKey(self.signing.public, self.node.pk)
        opened = open_envelope(
            raw,
            net=platform_keys.network_id(),
            to="platform",
            kinds={"task.result"},
            resolve=lambda kid: known,
            now=now,
            replay=None,
        )
        return opened, sealed

    def answer(self, task: Assignment, now: datetime = NOW) -> str:
        """Compute and return the true result."""
        envelope, sealed = self.signed(task, self.compute(task, now), now)
        self.answered.append((envelope, sealed))
        return completion.complete(envelope, sealed, self.node, now)

    def report(self, task: Assignment, now: datetime = NOW) -> str:
        """Report an error."""
        envelope, sealed = self.signed(task, None, now)
        return completion.complete(envelope, sealed, self.node, now)

    def work(self, now: datetime = NOW) -> int:
        """Take, start and answer until there is nothing more; returns how many."""
        done = 0
        while taken := self.take(1, now):
            for task in taken:
                assert self.start(task, now) == "running"
                assert self.answer(task, now) == "completed"
                done += 1
        return done


def machine(name: str, owner: Operator | None = None, *, slots: int = 2, **fields: Any) -> Machine:
    """A node that is online and eligible, of its own operator unless told otherwise."""
    signing, sealing_key = SigningKey.generate(), SealingKey.generate()
    values: dict[str, Any] = {
        "status": NodeStatus.ONLINE,
        "status_at": NOW,
        "probe": {"memory_mb": 8000, "frameworks": ["numba", "numpy", "onnxruntime"]},
        "lanes": {LANE: slots},
        "enrolled_at": NOW,
        **fields,
    }
    node = Node.objects.create(
        id=new_id("node", NOW),
        operator=owner or operator(f"{name}-owner"),
        name=name,
        sign_public=b64(signing.public),
        seal_public=b64(sealing_key.public),
        kid=signing.kid,
        **values,
    )
    classes.refresh_node(node, NOW)
    return Machine(node, signing, sealing_key)


def embed(*texts: str, chunk_size: int = 2, **fields: Any) -> JobRequest:
    """An embedding request."""
    return JobRequest("embed", EMBEDDER, inputs=texts or ("a", "b", "c", "d"), chunk_size=chunk_size, **fields)


def generate(prompt: str, **fields: Any) -> JobRequest:
    """A generation request."""
    return JobRequest("generate", WRITER, prompt=prompt, **fields)
