"""Heartbeats: one signature, one step in Redis; the database only for nodes that are at work."""

from datetime import datetime
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse

from apps.core import parameters, platform_keys
from apps.operators import bans
from apps.operators.models import Node, NodeStatus
from apps.pool import broker, leases, node_states, presence
from apps.pool.node_api.http import answer, envelope_of
from apps.pool.node_api.keys import directory, open_from_node
from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.envelope import SKEW_MS, Envelope, sign_envelope
from workers.protocol.errors import EnvelopeMalformed, Replayed
from workers.protocol.ids import is_id
from workers.protocol.keylist import open_key_list
from workers.protocol.messages import NodeHeartbeat

MOST_RUNNING = 256
NO_WORK = {NodeStatus.DRAINING, NodeStatus.SUSPENDED}
_key_list_version = 0


def heartbeat(request: HttpRequest) -> HttpResponse:
    """A DSSE `node.heartbeat` → a DSSE `platform.heartbeat`: time, waiting tasks, cancellations, the drain flag."""
    raw, now = envelope_of(request), utcnow()
    envelope, body = open_from_node(raw, NodeHeartbeat, now, durable=False)
    if len(body.running) > MOST_RUNNING:
        raise EnvelopeMalformed(f"A node runs up to {MOST_RUNNING} tasks.")
    pending = presence.buffer_heartbeat(
        envelope.sender, envelope.id, envelope.expires_at + SKEW_MS - unix_ms(now), heard(body, now)
    )
    if pending is None:
        raise Replayed
    # Before the answer, so that a lease never depends on the dispatcher being there.
    gone = leases.extend(envelope.sender, running(body), now)
    return answer(reply(envelope, pending, gone, now))


def heard(body: NodeHeartbeat, now: datetime) -> presence.Heard:
    """What is kept of it."""
    return presence.Heard(
        at=unix_ms(now),
        sent_at=body.sent_at,
        load=max(0, min(100, body.load)),
        slots={lane: max(0, min(1000, body.slots[lane])) for lane in broker.LANES if lane in body.slots},
        memory_free_mb=max(0, min(2**31 - 1, body.memory_free_mb)),
        running=running(body),
        draining=body.draining,
        models=presence.model_names(body.models),
        held=[code for code in body.held if code in node_states.HELD],
        held_until=body.held_until,
        limits=limits(body),
        transport=body.transport if body.transport in Node.Transport.values else "",
    )


def limits(body: NodeHeartbeat) -> dict[str, Any]:
    """The limits of the node's own settings; none where they hold what cannot be a time zone or an hour."""
    own = body.limits
    if own is None or not all(text.isprintable() for text in (own.time_zone, *own.quiet_hours)):
        return {}
    return dict(msgspec.to_builtins(own))


def running(body: NodeHeartbeat) -> list[str]:
    """What has the shape of a task's id."""
    return [task for task in body.running if is_id("tsk", task)]


def reply(envelope: Envelope, pending: int, gone: list[str], now: datetime) -> dict[str, object]:
    """Signed, since a node corrects its clock and drops work by it."""
    banned = bans.refused(now, node_id=envelope.sender)
    body: dict[str, object] = {
        "time": unix_ms(now),
        "pending": pending,
        "cancel": gone,
        "drain": banned is not None or directory.state(envelope.sender) in NO_WORK,
        "key_list_version": key_list_version(),
        "heartbeat_s": parameters.get("pool.heartbeat_s"),
    }
    if banned is not None:
        body["banned"] = banned.as_dict()
    if (wanted := directory.limits(envelope.sender)) is not None:
        body["limits"] = wanted
    return sign_envelope(
        "platform.heartbeat",
        body,
        key=platform_keys.signing_key(),
        net=platform_keys.network_id(),
        sender="platform",
        to=envelope.sender,
        now=now,
    )


def key_list_version() -> int:
    """The version of the platform's key list; a new list comes with a restart."""
    global _key_list_version
    if not _key_list_version:
        _key_list_version = open_key_list(platform_keys.key_list(), platform_keys.root_public()).version
    return _key_list_version
