"""What keeps a node from new tasks: a pause, quiet hours, caps on memory and power. The agent is the judge.

They are set in the node's own settings, by `mesh node pause`, and on the node's page; the stricter of all holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import psutil

from workers.node.config import NodeConfig
from workers.node.power import PowerMeter
from workers.node.state import NodeState
from workers.protocol import quiet_hours
from workers.protocol.clock import unix_ms
from workers.protocol.messages import NodeLimits

MB = 2**20
# Facts of the node's state file.
PAGE, PAUSE, HELD = "page_limits", "paused", "held"
NEXT_STEPS = {
    "paused": "Resume it on the node's page, or run `mesh node resume` on the machine.",
    "quiet_hours": "It takes tasks again by itself when they end.",
    "memory_cap": "It takes tasks again by itself once its memory is below the cap; a model that does not fit needs a "
    "higher one.",
    "power_cap": "It takes tasks again by itself once the machine draws less.",
    "power_unmeasured": "Take the power cap away, or let the agent read the meter (nvidia-smi, or energy_uj of RAPL).",
}


@dataclass(frozen=True)
class Hold:
    """One reason to take no task: its code, in words, and when it ends in unix ms (0: nobody knows)."""

    code: str
    detail: str
    until: int = 0

    @property
    def next_step(self) -> str:
        """What may be done about it."""
        return NEXT_STEPS[self.code]


def of_config(config: NodeConfig) -> NodeLimits:
    """What the node's own settings say."""
    return NodeLimits(
        quiet_hours=list(config.quiet_hours),
        time_zone=config.time_zone,
        memory_cap_mb=config.memory_cap_mb,
        power_cap_w=config.power_cap_w,
    )


def of_page(state: NodeState) -> NodeLimits:
    """What the node's page said last; none where it never did."""
    return msgspec.convert(state.fact(PAGE) or {}, NodeLimits)


def of_command(state: NodeState) -> NodeLimits:
    """What `mesh node pause` said last."""
    said = state.fact(PAUSE) or {}
    return NodeLimits(paused=bool(said), paused_until=int(said.get("until", 0)))


def keep_page(state: NodeState, limits: dict[str, Any] | None) -> bool:
    """Remember what the page says, unless it is older than what is known; returns whether it is new.

    Raises ValueError or msgspec.ValidationError for what this machine cannot read, and then nothing is remembered.
    """
    if limits is None:
        return False
    said = msgspec.convert(limits, NodeLimits)
    if said.at <= of_page(state).at:
        return False
    quiet_hours.parse_all(said.quiet_hours)
    quiet_hours.zone_of(said.time_zone)
    state.set_fact(PAGE, msgspec.to_builtins(said))
    return True


def pause_of(limits: NodeLimits, now: datetime) -> Hold | None:
    """The pause, until it ends."""
    if not limits.paused or (limits.paused_until and unix_ms(now) >= limits.paused_until):
        return None
    return Hold("paused", "It is paused by its owner.", limits.paused_until)


def quiet_of(limits: NodeLimits, now: datetime) -> Hold | None:
    """Quiet hours that hold now."""
    windows, zone = quiet_hours.parse_all(limits.quiet_hours), quiet_hours.zone_of(limits.time_zone)
    if not quiet_hours.is_quiet(windows, zone, now):
        return None
    end = quiet_hours.ends_at(windows, zone, now)
    return Hold("quiet_hours", "It keeps its quiet hours.", unix_ms(end) if end else 0)


def least(caps: Sequence[int]) -> int:
    """The strictest cap; 0 where there is none."""
    return min((cap for cap in caps if cap), default=0)


def memory_of(cap_mb: int, used_mb: int) -> Hold | None:
    """Whether the agent's processes hold more memory than they may."""
    if not cap_mb or used_mb <= cap_mb:
        return None
    return Hold("memory_cap", f"Its processes hold {used_mb} MiB, and its owner allows {cap_mb} MiB.")


def power_of(cap_w: int, watts: float | None) -> Hold | None:
    """Whether the machine draws more than it may. What cannot be measured cannot be kept, so it then takes nothing."""
    if not cap_w:
        return None
    if watts is None:
        return Hold("power_unmeasured", "Its owner caps its power, and this machine does not say what it draws.")
    return Hold("power_cap", f"It draws {watts:.0f} W, and its owner allows {cap_w} W.") if watts > cap_w else None


def memory_used_mb() -> int:
    """MiB held by this process and all that it started."""
    here = psutil.Process()
    used = 0
    for process in (here, *here.children(recursive=True)):
        try:
            used += process.memory_info().rss
        except psutil.Error:
            continue
    return int(used // MB)


class Keeper:
    """Asks all sources; the agent calls it every few seconds and tells its lanes what holds."""

    def __init__(
        self,
        config: NodeConfig,
        state: NodeState,
        used_mb: Callable[[], int] = memory_used_mb,
        watts: Callable[[], float | None] | None = None,
    ) -> None:
        self.own = of_config(config)
        self.state = state
        self.used_mb = used_mb
        self.watts = watts or PowerMeter().read
        self.power_w: float | None = None

    def holds(self, now: datetime) -> list[Hold]:
        """What keeps the node from new tasks now; empty where nothing does."""
        sources = (self.own, of_page(self.state), of_command(self.state))
        found = [kind(source, now) for kind in (pause_of, quiet_of) for source in sources]
        cap_mb, cap_w = (least([getattr(s, name) for s in sources]) for name in ("memory_cap_mb", "power_cap_w"))
        self.power_w = self.watts() if cap_w else None
        found += [memory_of(cap_mb, self.used_mb() if cap_mb else 0), power_of(cap_w, self.power_w)]
        by_code: dict[str, Hold] = {}
        for hold in filter(None, found):
            known = by_code.get(hold.code)
            # Of two pauses the one that ends later counts; one without an end ends last.
            if known is None or (known.until and (not hold.until or hold.until > known.until)):
                by_code[hold.code] = hold
        return list(by_code.values())
