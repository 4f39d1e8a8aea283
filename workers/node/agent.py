"""`mesh node run`: lane processes, heartbeats and presence, until told to stop; then it stops without hanging."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import psutil

from workers.node import identity as identities
from workers.node.api import NodeApi
from workers.node.config import NodeConfig
from workers.node.errors import NodeError, PlatformRefused
from workers.node.keys_refresh import refresh_keys
from workers.node.presence import Presence
from workers.node.state import NodeState
from workers.protocol.clock import utcnow
from workers.protocol.envelope import open_envelope
from workers.protocol.errors import ProtocolError

logger = logging.getLogger("node.agent")
TICK_S = 0.3
RESTART_BACK_OFF_S = (0.5, 30.0)
VERSION = 1
# The lane process that serves scans and consensus beside the inference lanes.
SIDE = "side"


@dataclass
class Lane:
    """One lane process and when it may next be started."""

    name: str
    process: "subprocess.Popen[bytes] | None" = None
    pause_s: float = RESTART_BACK_OFF_S[0]
    start_after: float = 0.0
    started_at: float = field(default=0.0)


class Agent:
    """The running node."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self.identity = identities.load(config.directory)
        self.key, _ = identities.load_or_make_keys(config.directory)
        self.state = NodeState(config.directory)
        self.api = NodeApi(self.identity, self.key)
        self.lanes = [Lane(name) for name, slots in self.identity.lanes.items() for _ in range(slots)]
        if config.transport == "celery":
            self.lanes.append(Lane(SIDE))
        self.presence = Presence(self.identity, self.key, self.hello, self.control)
        self.stopping = threading.Event()
        self.beat_now = threading.Event()
        self.heartbeat_s = 30.0
        self.revoked = ""

    def hello(self) -> dict[str, Any]:
        """The body of node.hello, less the challenge."""
        running = [r.task for r in self.state.running()]
        return {
            "version": VERSION,
            "models": list(self.config.models),
            "lanes": dict(self.identity.lanes),
            "running": running,
        }

    def draining(self) -> bool:
        """Whether no new work is wanted."""
        return self.stopping.is_set() or bool(self.state.fact("draining", False))

    def control(self, kind: str, body: dict[str, Any]) -> None:
        """Act on a control message of the platform."""
        if kind == "control.cancel":
            self.state.cancel(body.get("tasks", []))
        elif kind == "control.drain":
            self.state.set_fact("draining", True)
        elif kind == "control.resume":
            self.state.set_fact("draining", False)
        elif kind == "control.revoked":
            self.revoked = str(body.get("reason", "revoked"))
            self.stopping.set()
        self.beat_now.set()

    def heartbeat_body(self) -> dict[str, Any]:
        """Load in percent, free slots by lane, free memory in MiB, tasks under way."""
        running = [r.task for r in self.state.running()]
        draining = self.draining()
        free = {n: 0 if draining else max(0, s - len(running)) for n, s in self.identity.lanes.items()}
        return {
            "load": int(min(100, 100 * os.getloadavg()[0] / (os.cpu_count() or 1))),
            "slots": free,
            "memory_free_mb": psutil.virtual_memory().available // 2**20,
            "running": running,
            "draining": draining,
            "models": list(self.config.models),
            "sent_at": int(utcnow().timestamp() * 1000),
        }

    def beat(self) -> None:
        """One heartbeat and what its answer asks for; then results that waited."""
        raw = self.api.heartbeat(self.heartbeat_body())
        keys = self.identity.keys()
        reply = open_envelope(
            raw,
            net=self.identity.network,
            to=self.identity.node_id,
            kinds={"platform.heartbeat"},
            resolve=keys.resolve,
            now=utcnow(),
            replay=None,
        ).body
        self.heartbeat_s = float(reply.get("heartbeat_s", self.heartbeat_s))
        self.state.set_fact("clock_offset_ms", reply["time"] - int(utcnow().timestamp() * 1000))
        self.state.set_fact("last_heartbeat_at", utcnow().isoformat())
        self.state.cancel(reply.get("cancel", []))
        if reply.get("key_list_version", 0) > keys.version:
            self.identity = refresh_keys(self.config.directory, self.identity)
        self.post_kept_results()

    def post_kept_results(self) -> None:
        """Post results that no answer came for; an answer of any kind settles them."""
        running = {r.task for r in self.state.running()}
        for task, attempt, body in self.state.kept_results():
            if task in running:
                continue
            try:
                self.api.result(task, body)
            except PlatformRefused as error:
                if error.status >= 500:
                    continue
            self.state.drop_result(task, attempt)

    def heartbeats(self) -> None:
        """Beat until stopped; a failure is logged and tried again."""
        pause = 1.0
        while not self.stopping.is_set():
            try:
                self.beat()
                wait, pause = self.heartbeat_s, 1.0
            except (NodeError, ProtocolError) as error:
                logger.warning("Heartbeat failed", extra={"code": error.code, "error": str(error)[:200]})
                wait, pause = pause, min(pause * 2, self.heartbeat_s)
            self.beat_now.wait(wait)
            self.beat_now.clear()

    def start_lane(self, lane: Lane) -> None:
        """Start one lane process; always from the main thread, whose death takes the children along."""
        module = "workers.node.side_lane" if lane.name == SIDE else "workers.node.lane"
        command = [sys.executable, "-m", module, "--directory", str(self.config.directory)]
        command += ["--log-level", self.config.log_level]
        if lane.name != SIDE:
            command += ["--lane", lane.name, "--transport", self.config.transport]
            command += ["--engine-address", self.config.engine_address]
        lane.process = subprocess.Popen(command, start_new_session=True)  # noqa: S603
        lane.started_at = time.monotonic()

    def tend_lanes(self) -> None:
        """Restart a lane process that ended, and hand back what it held."""
        now = time.monotonic()
        for lane in self.lanes:
            process = lane.process
            if process is not None and process.poll() is not None:
                logger.warning("A lane process ended", extra={"lane": lane.name, "exit": process.returncode})
                self.hand_back_of(process.pid, f"the lane process ended with {process.returncode}")
                quick = now - lane.started_at < 10
                lane.pause_s = min(lane.pause_s * 2, RESTART_BACK_OFF_S[1]) if quick else RESTART_BACK_OFF_S[0]
                lane.process, lane.start_after = None, now + lane.pause_s
            if lane.process is None and now >= lane.start_after:
                self.start_lane(lane)

    def hand_back_of(self, pid: int | None, reason: str) -> None:
        """Return attempts of one lane process, or of all; the lease covers what cannot be returned."""
        for running in self.state.running():
            if pid is not None and running.pid != pid:
                continue
            try:
                self.api.hand_back(running.task, running.attempt, reason)
            except NodeError as error:
                logger.warning("Hand-back failed", extra={"task": running.task, "code": error.code})
            self.state.end(running.task)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """SIGTERM and SIGINT."""
        self.stopping.set()

    def run(self) -> None:
        """Serve until stopped. Raises NodeError where the platform revoked the node."""
        signal.signal(signal.SIGTERM, self.request_stop)
        signal.signal(signal.SIGINT, self.request_stop)
        self.hand_back_of(None, "the node was restarted")
        self.presence.start()
        beats = threading.Thread(target=self.heartbeats, name="heartbeats", daemon=True)
        beats.start()
        logger.info("Node running", extra={"node": self.identity.node_id, "lanes": str(self.identity.lanes)})
        while not self.stopping.wait(TICK_S):
            self.tend_lanes()
        self.shut_down()
        if self.revoked:
            raise PlatformRefused(403, "node_revoked", f"The platform revoked this node: {self.revoked}")

    def shut_down(self) -> None:
        """Take nothing new, let current tasks end within the grace, hand back the rest, leave."""
        self.beat_now.set()
        try:
            self.api.heartbeat(self.heartbeat_body())
        except NodeError as error:
            logger.warning("The last heartbeat failed", extra={"code": error.code})
        processes = [lane.process for lane in self.lanes if lane.process is not None]
        for process in processes:
            process.terminate()
        end = time.monotonic() + self.config.stop_grace_s
        for process in processes:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self.hand_back_of(None, "the node was stopped")
        self.presence.stop()
        self.presence.join(3)
        logger.info("Node stopped")
