"""What an owner keeps a machine from, as set on the node's page. The agent obeys; the page shows what it says."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from django.db import transaction

from apps.core import events
from apps.core.models import User
from apps.operators.models import Node, NodeStatus
from apps.operators.node_errors import LimitsInvalid, NodeEnded
from workers.protocol import quiet_hours
from workers.protocol.clock import from_unix_ms, unix_ms
from workers.protocol.messages import NodeLimits

Follower = Callable[[str, dict[str, Any], datetime], None]
_followers: list[Follower] = []
ENDED = {NodeStatus.SUSPENDED, NodeStatus.REVOKED}


def follow(follower: Follower) -> None:
    """Have `follower(node_id, limits, now)` called once new limits are committed: the link to nodes sends them.

    It is a hint; the answer to the node's next heartbeat carries them as well.
    """
    _followers.append(follower)


def read(values: Mapping[str, Any]) -> NodeLimits:
    """Limits as they are kept. Raises LimitsInvalid, which says what is wrong."""
    try:
        limits = msgspec.convert(dict(values), NodeLimits)
        quiet_hours.parse_all(limits.quiet_hours)
        quiet_hours.zone_of(limits.time_zone)
    except (ValueError, msgspec.ValidationError) as error:
        raise LimitsInvalid(str(error)) from error
    return limits


@transaction.atomic(durable=True)
def set_limits(node: Node, values: Mapping[str, Any], *, actor: User, now: datetime) -> NodeLimits:
    """Keep what the owner has set and tell the node. Raises LimitsInvalid or NodeEnded; then nothing has changed."""
    limits = read({**values, "at": unix_ms(now)})
    kept = msgspec.to_builtins(limits)
    if Node.objects.filter(pk=node.pk).exclude(status__in=ENDED).update(limits=kept) != 1:
        raise NodeEnded
    node.limits = kept
    topics = [f"node.{node.pk}", f"user.{node.operator.user_id}"]
    data = {"name": node.name, "limits": sentence(limits)}
    events.emit("node.limits_changed", subject=node.pk, topics=topics, data=data, now=now, actor=actor)
    for follower in _followers:
        transaction.on_commit(_call(follower, node.pk, kept, now), robust=True)
    return limits


def _call(follower: Follower, node_id: str, limits: dict[str, Any], now: datetime) -> Callable[[], None]:
    def call() -> None:
        follower(node_id, limits, now)

    return call


def sentence(limits: NodeLimits) -> str:
    """The limits in short: "paused; quiet 22:00-07:00 Europe/Berlin; memory up to 4000 MiB"."""
    until = from_unix_ms(limits.paused_until).isoformat(timespec="minutes") if limits.paused_until else ""
    parts = [
        ("paused until " + until if until else "paused") if limits.paused else "",
        f"quiet {', '.join(limits.quiet_hours)} {limits.time_zone}".rstrip() if limits.quiet_hours else "",
        f"memory up to {limits.memory_cap_mb} MiB" if limits.memory_cap_mb else "",
        f"power up to {limits.power_cap_w} W" if limits.power_cap_w else "",
    ]
    return "; ".join(filter(None, parts)) or "none"
