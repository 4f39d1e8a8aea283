"""What the agent says of itself on the machine: /health with reasons, /metrics for Prometheus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workers.node.limits import Hold
from workers.node.local_http import METRICS, Answer, as_json

BEATS_MISSED = 3
LARGEST_OFFSET_MS = 30_000
DOCTOR = "Run `mesh node doctor`: it says which connection is blocked."


@dataclass(frozen=True)
class Snapshot:
    """The agent at one moment; times in seconds since 1970, memory in bytes, power in watts."""

    node: str
    name: str
    network: str
    version: str
    now: float
    started_at: float
    last_heartbeat_at: float
    heartbeat_s: float
    connected: bool
    clock_offset_ms: int
    lanes: Mapping[str, int]
    lanes_down: Sequence[str]
    running: int
    results_waiting: int
    draining: bool
    holds: Sequence[Hold]
    memory_bytes: int
    power_w: float | None
    restarts: int
    banned: str = ""
    tasks: Mapping[str, int] = field(default_factory=dict)


def faults(at: Snapshot) -> list[dict[str, str]]:
    """What keeps the node from working though it should: code, detail, next step."""
    found: list[tuple[str, str, str]] = []
    silent = at.now - max(at.last_heartbeat_at, at.started_at)
    if silent > BEATS_MISSED * at.heartbeat_s:
        found.append(("heartbeat_unanswered", f"The platform has not answered for {silent:.0f} s.", DOCTOR))
    elif not at.connected and at.now - at.started_at > at.heartbeat_s:
        found.append(("gateway_closed", "The connection to the gateway is closed.", DOCTOR))
    if at.banned:
        found.append(("node_banned", f"It is banned: {at.banned}", "The site's page of bans says how to appeal."))
    if at.lanes_down:
        lanes = ", ".join(at.lanes_down)
        found.append(
            ("lane_down", f"No process serves {lanes}.", "It is started again by itself; see the agent's log.")
        )
    if abs(at.clock_offset_ms) > LARGEST_OFFSET_MS:
        offset = f"The clock is off by {at.clock_offset_ms / 1000:.0f} s."
        found.append(("clock_off", offset, "Turn on time synchronisation (systemd-timesyncd, chrony)."))
    return [{"code": code, "detail": detail, "next_step": step} for code, detail, step in found]


def pauses(at: Snapshot) -> list[dict[str, str]]:
    """Why the node takes nothing of its owner's will."""
    found = [{"code": hold.code, "detail": hold.detail, "next_step": hold.next_step} for hold in at.holds]
    if at.draining:
        step = "Resume it on the node's page, or run `mesh node resume` on the machine."
        found.append({"code": "draining", "detail": "It takes no new tasks.", "next_step": step})
    return found


def health(at: Snapshot) -> Answer:
    """200 while the agent works, of its owner's will or not; 503 with the reasons while it cannot."""
    wrong, held = faults(at), pauses(at)
    status = "unwell" if wrong else "held" if held else "ok"
    body: dict[str, Any] = {
        "status": status,
        "node": at.node,
        "name": at.name,
        "network": at.network,
        "reasons": wrong + held,
        "running": at.running,
        "results_waiting": at.results_waiting,
        "up_s": int(at.now - at.started_at),
    }
    return as_json(body, 503 if wrong else 200)


def metrics(at: Snapshot) -> Answer:
    """The same in Prometheus' text format."""
    lines: list[str] = []

    def put(name: str, text: str, *values: tuple[Mapping[str, str], float | str], kind: str = "gauge") -> None:
        lines.extend((f"# HELP mesh_node_{name} {text}", f"# TYPE mesh_node_{name} {kind}"))
        lines.extend(f"mesh_node_{name}{labels_of(labels)} {value}" for labels, value in values)

    known = {"node": at.node, "name": at.name, "network": at.network, "version": at.version}
    put("info", "The node.", (known, 1))
    put("healthy", "1 while nothing is wrong.", ({}, int(not faults(at))))
    put("taking_work", "1 while new tasks are taken.", ({}, int(not pauses(at))))
    put("connected", "1 while the gateway's socket is open.", ({}, int(at.connected)))
    put("held", "Why no task is taken.", *(({"reason": why["code"]}, 1) for why in pauses(at)))
    put("last_heartbeat_timestamp_seconds", "Last heartbeat that was answered.", ({}, f"{at.last_heartbeat_at:.3f}"))
    put("clock_offset_seconds", "The platform's clock less this one.", ({}, at.clock_offset_ms / 1000))
    put("slots", "Tasks at a time.", *(({"lane": lane}, n) for lane, n in at.lanes.items()))
    put("tasks_running", "Tasks under way.", ({}, at.running))
    put("results_waiting", "Results that no answer came for.", ({}, at.results_waiting))
    tasks = [({"outcome": outcome}, n) for outcome, n in sorted(at.tasks.items())]
    put("tasks_total", "Tasks by outcome.", *tasks, kind="counter")
    put("lane_restarts_total", "Lane processes that ended by themselves.", ({}, at.restarts), kind="counter")
    put("memory_bytes", "Memory of the agent's processes.", ({}, at.memory_bytes))
    if at.power_w is not None:
        put("power_watts", "What the machine draws, where a cap has it measured.", ({}, at.power_w))
    return Answer("\n".join(lines) + "\n", METRICS)


def labels_of(labels: Mapping[str, str]) -> str:
    """Labels in the format's own quoting."""
    quoted = {k: v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for k, v in labels.items()}
    return "{" + ",".join(f'{k}="{v}"' for k, v in quoted.items()) + "}" if labels else ""
