"""`mesh node run`: lane processes, heartbeats and presence, until told to stop; then it stops without hanging."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from types import FrameType
from typing import Any

import msgspec
import psutil

from workers.node import health, limits, outbox
from workers.node import identity as identities
from workers.node.api import NodeApi
from workers.node.config import NodeConfig
from workers.node.errors import NodeError, PlatformRefused
from workers.node.keys_refresh import refresh_keys
from workers.node.limits import Hold, Keeper
from workers.node.local_http import LocalHttp
from workers.node.presence import Presence
from workers.node.state import NodeState
from workers.protocol.clock import utcnow
from workers.protocol.envelope import open_envelope
from workers.protocol.errors import ProtocolError

logger = logging.getLogger("node.agent")
TICK_S = 0.3
# How often the agent looks whether a limit holds, and how often at most it has a lane give its memory back.
KEEP_S, RECYCLE_S = 3.0, 60.0
RESTART_BACK_OFF_S = (0.5, 30.0)
VERSION = 1
# The lane process that serves scans and consensus beside the inference lanes.
SIDE = "side"
BANNED = "banned"
BAN_NEXT_STEP = "Its operator can appeal on the site's page of bans."


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
        self.keeper = Keeper(config, self.state)
        self.holds: list[Hold] = []
        self.keep_after = self.recycle_after = 0.0
        self.started_at = time.time()
        self.restarts = 0
        self.keys_at = identities.keys_changed_at(config.directory)

    def hello(self) -> dict[str, Any]:
        """The body of node.hello, less the challenge."""
        running = [r.task for r in self.state.running()]
        return {
            "version": VERSION,
            "models": self.config.served(),
            "lanes": dict(self.identity.lanes),
            "running": running,
        }

    def draining(self) -> bool:
        """Whether no new work is wanted."""
        return self.stopping.is_set() or bool(self.holds) or self.told_to_drain()

    def told_to_drain(self) -> bool:
        """Whether somebody drains this node, or a ban keeps it out."""
        return bool(self.state.fact("draining", False) or self.state.fact(BANNED, None))

    def control(self, kind: str, body: dict[str, Any]) -> None:
        """Act on a control message of the platform."""
        if kind == "control.cancel":
            self.state.cancel(body.get("tasks", []))
        elif kind == "control.drain":
            self.state.set_fact("draining", True)
        elif kind == "control.resume":
            self.state.set_fact("draining", False)
        elif kind in {"control.banned", "control.unbanned"}:
            self.take_ban(body or None)
        elif kind == "control.limits":
            self.take_limits(body["limits"])
        elif kind == "control.revoked":
            self.revoked = str(body.get("reason", "revoked"))
            self.stopping.set()
        self.beat_now.set()

    def take_ban(self, notice: dict[str, Any] | None) -> None:
        """A ban that stands, or none: while one does, no work is taken."""
        if notice == self.state.fact(BANNED, None):
            return
        self.state.set_fact(BANNED, notice)
        if notice is None:
            logger.info("No ban stands any more; taking work again")
        else:
            told = {"ban": notice["ban"], "reason": notice["reason"], "next_step": BAN_NEXT_STEP}
            logger.error("This node is banned and takes no work", extra=told)

    def take_limits(self, said: dict[str, Any] | None) -> None:
        """What the node's page says; what this machine cannot read is not taken."""
        try:
            if limits.keep_page(self.state, said):
                self.keep_after = 0.0
        except (ValueError, msgspec.ValidationError) as error:
            logger.warning("The page's limits were not taken", extra={"error": str(error)[:200]})

    def keep_limits(self, now: datetime) -> None:
        """See what holds, and tell the lanes and the platform where that has changed."""
        if time.monotonic() < self.keep_after:
            return
        self.keep_after = time.monotonic() + KEEP_S
        holds = self.keeper.holds(now)
        codes = [hold.code for hold in holds]
        if codes != [hold.code for hold in self.holds] or codes != self.state.fact(limits.HELD, []):
            logger.info("What holds has changed", extra={"held": ", ".join(codes) or "nothing"})
            self.state.set_fact(limits.HELD, codes)
            self.beat_now.set()
        self.holds = holds
        if "memory_cap" in codes and time.monotonic() >= self.recycle_after and not self.state.running():
            # An idle lane holds the models that it has loaded; a new process holds none.
            self.recycle_after = time.monotonic() + RECYCLE_S
            self.end_lanes()

    def heartbeat_body(self) -> dict[str, Any]:
        """Load in percent, free slots by lane, free memory in MiB, tasks under way."""
        running = [r.task for r in self.state.running()]
        draining, holds = self.draining(), self.holds
        free = {n: 0 if draining else max(0, s - len(running)) for n, s in self.identity.lanes.items()}
        return {
            "load": int(min(100, 100 * os.getloadavg()[0] / (os.cpu_count() or 1))),
            "slots": free,
            "memory_free_mb": psutil.virtual_memory().available // 2**20,
            "running": running,
            "draining": draining,
            "models": self.config.served(),
            "sent_at": int(utcnow().timestamp() * 1000),
            "held": [hold.code for hold in holds],
            "held_until": max(hold.until for hold in holds) if holds and all(hold.until for hold in holds) else 0,
            "limits": msgspec.to_builtins(self.keeper.own),
            "transport": self.config.transport,
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
        self.take_limits(reply.get("limits"))
        self.take_ban(reply.get("banned"))
        if reply.get("key_list_version", 0) > keys.version:
            self.identity = refresh_keys(self.config.directory, self.identity)
        outbox.post_kept(self.state, self.api, {r.task for r in self.state.running()})

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
                self.restarts += 1
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
        self.keep_limits(utcnow())
        local = self.serve_health()
        self.presence.start()
        beats = threading.Thread(target=self.heartbeats, name="heartbeats", daemon=True)
        beats.start()
        logger.info("Node running", extra={"node": self.identity.node_id, "lanes": str(self.identity.lanes)})
        while not self.stopping.wait(TICK_S):
            self.keep_limits(utcnow())
            if identities.keys_changed_at(self.config.directory) != self.keys_at:
                self.take_new_keys()
            self.tend_lanes()
        self.shut_down()
        if local is not None:
            local.stop()
        if self.revoked:
            raise PlatformRefused(403, "node_revoked", f"The platform revoked this node: {self.revoked}")

    def end_lanes(self) -> None:
        """End the lane processes: what they run ends within the grace, then they are killed."""
        lanes = [lane for lane in self.lanes if lane.process is not None]
        processes = [lane.process for lane in lanes if lane.process is not None]
        for process in processes:
            process.terminate()
        end = time.monotonic() + self.config.stop_grace_s
        for process in processes:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        for lane in lanes:
            lane.process = None

    def take_new_keys(self) -> None:
        """`mesh node rotate-keys` has run: the old keys and the old account count no more."""
        logger.info("The node's keys were changed; its lanes and its connection start anew")
        self.keys_at = identities.keys_changed_at(self.config.directory)
        self.end_lanes()
        for running in self.state.running():
            self.state.end(running.task)
        self.presence.stop()
        self.identity = identities.load(self.config.directory)
        self.key, _ = identities.load_or_make_keys(self.config.directory)
        self.api = NodeApi(self.identity, self.key)
        self.presence = Presence(self.identity, self.key, self.hello, self.control)
        self.presence.start()
        self.beat_now.set()

    def serve_health(self) -> LocalHttp | None:
        """The machine's own view of the agent, where an address is set. Raises ListenRefused."""
        if not self.config.health:
            return None
        routes = {
            "/health": lambda: health.health(self.snapshot()),
            "/metrics": lambda: health.metrics(self.snapshot()),
        }
        return LocalHttp(self.config.health, routes)

    def snapshot(self) -> health.Snapshot:
        """The agent at this moment."""
        last = self.state.fact("last_heartbeat_at")
        return health.Snapshot(
            node=self.identity.node_id,
            name=self.identity.name,
            network=self.identity.network,
            version=version("meshwork"),
            now=time.time(),
            started_at=self.started_at,
            last_heartbeat_at=datetime.fromisoformat(last).timestamp() if last else 0.0,
            heartbeat_s=self.heartbeat_s,
            connected=self.presence.connected.is_set(),
            clock_offset_ms=int(self.state.fact("clock_offset_ms", 0)),
            lanes=dict(self.identity.lanes),
            lanes_down=[lane.name for lane in self.lanes if lane.process is None or lane.process.poll() is not None],
            running=len(self.state.running()),
            results_waiting=len(self.state.kept_results()),
            draining=bool(self.state.fact("draining", False)),
            holds=self.holds,
            memory_bytes=limits.memory_used_mb() * limits.MB,
            power_w=self.keeper.power_w,
            restarts=self.restarts,
            banned=str((self.state.fact(BANNED) or {}).get("reason", "")),
            tasks=self.state.counts(),
        )

    def shut_down(self) -> None:
        """Take nothing new, let current tasks end within the grace, hand back the rest, leave."""
        self.beat_now.set()
        try:
            self.api.heartbeat(self.heartbeat_body())
        except NodeError as error:
            logger.warning("The last heartbeat failed", extra={"code": error.code})
        self.end_lanes()
        self.hand_back_of(None, "the node was stopped")
        self.presence.stop()
        self.presence.join(3)
        logger.info("Node stopped")
