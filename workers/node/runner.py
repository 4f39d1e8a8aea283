"""Running one task: the envelope is verified before anything else, the result is signed, sealed and posted."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from workers.engines import EngineError, EngineResult, Engines
from workers.node.announcing import Announcement
from workers.node.api import NodeApi
from workers.node.cache import ArtifactCache, CacheError
from workers.node.errors import NodeError, PlatformRefused, PlatformUnreachable, TaskRefused
from workers.node.identity import Identity
from workers.node.state import NodeState
from workers.protocol.clock import utcnow
from workers.protocol.envelope import Envelope, SqliteReplayGuard, open_envelope
from workers.protocol.errors import ProtocolError
from workers.protocol.keys import SealingKey, b64, unb64
from workers.protocol.messages import TaskRun, decode_body
from workers.protocol.sealing import job_info, open_sealed, seal

logger = logging.getLogger("node.runner")
POST_ATTEMPTS = 4
HELD_PAUSE_S = 1.0
NO_RESULT = sha256(b"").hexdigest()


@dataclass
class Runner:
    """What a lane process needs to run tasks."""

    identity: Identity
    sealing_key: SealingKey
    api: NodeApi
    state: NodeState
    cache: ArtifactCache
    engines: Engines
    replay: SqliteReplayGuard
    sleep: Callable[[float], None] = time.sleep

    def open(self, raw: dict[str, Any], now: datetime) -> tuple[Envelope, TaskRun]:
        """Verify an envelope from the platform; raises ProtocolError and nothing has happened then."""
        envelope = open_envelope(
            raw,
            net=self.identity.network,
            to=self.identity.node_id,
            kinds={"task.run"},
            resolve=self.identity.keys().resolve,
            now=now,
            replay=self.replay,
        )
        task = decode_body("task.run", envelope.body)
        if not isinstance(task, TaskRun):
            raise TaskRefused("wrong_kind", "The envelope does not hold a task.")
        return envelope, task

    def run(self, raw: dict[str, Any]) -> str:
        """Run one task to its end; returns the platform's word for the outcome, or why it was not run."""
        now = utcnow()
        try:
            _, task = self.open(raw, now)
        except (ProtocolError, TaskRefused) as error:
            logger.warning("A task was refused", extra={"code": error.code})
            return error.code
        if task.lease_expires_at <= now.timestamp() * 1000:
            return "lease_expired"
        if self.state.is_cancelled(task.task):
            self.state.end(task.task)
            return "cancelled"
        if held := self.state.fact("held", []):
            return self.hand_back(task, ", ".join(held))
        self.state.begin(task.task, task.attempt, os.getpid())
        outcome = ""
        try:
            outcome = self.work(task)
        finally:
            self.state.end(task.task, outcome or "crashed")
        return outcome

    def hand_back(self, task: TaskRun, why: str) -> str:
        """Not begun, since the owner's limits hold; after a moment, so that a task that comes again does not race."""
        try:
            self.api.hand_back(task.task, task.attempt, f"held: {why}")
        except NodeError as error:
            logger.warning("Hand-back failed", extra={"task": task.task, "code": error.code})
        self.sleep(HELD_PAUSE_S)
        return "held"

    def work(self, task: TaskRun) -> str:
        """Run it, say that it runs where that takes a while, post what came of it."""
        fields = {"task": task.task, "job": task.job, "attempt": task.attempt}
        announcement = Announcement(self.api, task)
        status = announcement.confirmed()
        if status == "running":
            start = time.perf_counter()
            with announcement:
                result, fault = self.compute(task)
            status = announcement.status
        if status != "running":
            logger.info("The task was taken back", extra={**fields, "status": status})
            return status
        duration_ms = int((time.perf_counter() - start) * 1000)
        outcome = self.post(task, self.result_body(task, result, fault, duration_ms))
        logger.info("Task done", extra={**fields, "outcome": outcome, "ok": fault is None, "duration_ms": duration_ms})
        return outcome

    def compute(self, task: TaskRun) -> tuple[EngineResult | None, dict[str, str] | None]:
        """The engine's result, or the error that the platform is told."""
        info = job_info(self.identity.network, task.job, task.task, task.attempt, self.identity.node_id)
        try:
            payload = open_sealed(self.sealing_key, unb64(task.sealed), info)
            if sha256(payload).hexdigest() != task.payload_sha256:
                raise TaskRefused("payload_mismatch", "The opened payload is not the one that was announced.")
            files = {file.name: self.fetch(file) for file in task.files}
            engine = self.engines.get(task.model, task.version, files)
            return engine.run(task.kind, payload, dict(task.params)), None
        except (NodeError, EngineError, ProtocolError, CacheError) as error:
            return None, {"code": error.code, "detail": str(error)[:500]}

    def fetch(self, file: Any) -> Path:
        """A model's file from the cache, fetched and verified if need be."""
        return self.cache.fetch(file.url, file.sha256, file.size)

    def result_body(
        self, task: TaskRun, result: EngineResult | None, fault: dict[str, str] | None, duration_ms: int
    ) -> dict[str, Any]:
        """The signed header and the sealed bytes that it binds."""
        plaintext = result.payload if result else b""
        info = job_info(self.identity.network, task.job, task.task, task.attempt, self.identity.node_id)
        sealed = seal(self.identity.keys().sealing_public, plaintext, info) if result else b""
        usage = {
            "items": result.items if result else 0,
            "tokens_in": result.tokens_in if result else 0,
            "tokens_out": result.tokens_out if result else 0,
        }
        body = {
            "job": task.job,
            "task": task.task,
            "attempt": task.attempt,
            "ok": fault is None,
            "error": fault,
            "result_sha256": sha256(plaintext).hexdigest() if result else NO_RESULT,
            "sealed_sha256": sha256(sealed).hexdigest(),
            "usage": usage,
            "duration_ms": duration_ms,
        }
        return {"envelope": self.api.envelope("task.result", body, utcnow()), "sealed": b64(sealed)}

    def post(self, task: TaskRun, body: dict[str, Any]) -> str:
        """Post with back-off; a result that no answer came for waits in the outbox for the agent."""
        self.state.keep_result(task.task, task.attempt, body)
        for attempt in range(POST_ATTEMPTS):
            try:
                status = str(self.api.result(task.task, body).get("status", "completed"))
            except PlatformRefused as error:
                status = error.code
                if error.status >= 500 or error.status == 429:
                    self.sleep(0.3 * 2**attempt)
                    continue
            except PlatformUnreachable:
                self.sleep(0.3 * 2**attempt)
                continue
            self.state.drop_result(task.task, task.attempt)
            return status
        return "kept"
