"""What the tests of the node link share: a machine that speaks to the node API, and counting what a refusal changed."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from django.apps import apps
from django.test import Client

from apps.core import platform_keys
from apps.pool.models import UsedMessage
from tests.apps.pool import cast
from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.envelope import KnownKey, open_envelope, sign_envelope
from workers.protocol.keys import SigningKey, b64
from workers.protocol.sealing import seal

COUNTED = ("operators", "pool", "ledger", "core")


def rows() -> dict[str, int]:
    """How many rows each table has; of the replay guard's own table nothing is asked."""
    models = (model for label in COUNTED for model in apps.get_app_config(label).get_models())
    return {model._meta.label: model._default_manager.count() for model in models if model is not UsedMessage}


@dataclass
class Speaker:
    """A machine on the wire. Every part of its messages can be made wrong."""

    machine: cast.Machine
    client: Client

    @property
    def id(self) -> str:
        return self.machine.node.pk

    def sign(self, kind: str, body: dict[str, Any], **changes: Any) -> dict[str, Any]:
        values: dict[str, Any] = {
            "key": self.machine.signing,
            "net": platform_keys.network_id(),
            "sender": self.id,
            "to": "platform",
            "now": utcnow(),
            **changes,
        }
        return sign_envelope(kind, body, **values)

    def send(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """POST JSON; status and answer."""
        text = body if isinstance(body, str | bytes) else json.dumps(body)
        response = self.client.post(path, text, content_type="application/json")
        return response.status_code, response.json() if response.content else {}

    def post(self, kind: str, path: str, body: dict[str, Any], **changes: Any) -> tuple[int, dict[str, Any]]:
        return self.send(path, self.sign(kind, body, **changes))

    def open(self, raw: dict[str, Any], kind: str) -> dict[str, Any]:
        """The body of an answer that the platform signed for this node."""
        key = platform_keys.signing_key()
        known = KnownKey(key.public, "platform")
        return open_envelope(
            raw,
            net=platform_keys.network_id(),
            to=self.id,
            kinds={kind},
            resolve=lambda kid: known if kid == key.kid else None,
            now=utcnow(),
            replay=None,
        ).body

    def beat(self, **changes: Any) -> dict[str, Any]:
        return {
            "load": 12,
            "slots": {cast.LANE: 2},
            "memory_free_mb": 4000,
            "running": [],
            "draining": False,
            "models": [],
            "sent_at": unix_ms(utcnow()),
            **changes,
        }

    def heartbeat(self, **changes: Any) -> tuple[int, dict[str, Any]]:
        return self.post("node.heartbeat", "/heartbeat", self.beat(**changes))

    def result(self, task: cast.Assignment, plain: bytes | None = None, **changes: Any) -> dict[str, Any]:
        """What is posted as the result of a task: the true one unless told otherwise."""
        plain = self.machine.compute(task, utcnow()) if plain is None else plain
        sealed = seal(platform_keys.sealing_key().public, plain, self.machine.info(task))
        body = {
            "job": task.job_id,
            "task": task.task_id,
            "attempt": task.attempt,
            "ok": True,
            "error": None,
            "result_sha256": sha256(plain).hexdigest(),
            "sealed_sha256": sha256(sealed).hexdigest(),
            "usage": {"items": task.items, "tokens_in": 0, "tokens_out": 0},
            "duration_ms": 5,
            **changes.pop("body", {}),
        }
        kind = changes.pop("kind", "task.result")
        return {"envelope": self.sign(kind, body, **changes), "sealed": b64(sealed)}


def tamper(raw: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The envelope with its payload changed and its signature left as it was."""
    from workers.protocol import canonical
    from workers.protocol.keys import unb64

    payload = canonical.loads(unb64(raw["payload"]))
    change(payload)
    return {**raw, "payload": b64(canonical.dumps(payload))}


def stranger() -> SigningKey:
    """A key that nobody enrolled."""
    return SigningKey.generate()
