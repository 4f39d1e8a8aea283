"""What a node's own page shows, prepared from rows."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from django.core.paginator import Page, Paginator
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.models import Event
from apps.operators import earnings, limits, node_uptime, reputation
from apps.operators.models import NODE_TRANSITIONS, Node, NodeStatus
from workers.protocol.clock import from_unix_ms
from workers.protocol.messages import NodeLimits

EVENTS_A_PAGE = 20
CLASSES_SHOWN = 50
# What a state means, and what its owner does in it.
MEANINGS: dict[NodeStatus, tuple[str | Promise, str | Promise]] = {
    NodeStatus.PENDING: (gettext_lazy("Enrolled, not heard from yet."), gettext_lazy("Run the agent on the machine.")),
    NodeStatus.SELF_TEST: (
        gettext_lazy("Answers questions whose answers are known, for each model that it serves."),
        gettext_lazy("Wait: seconds to minutes."),
    ),
    NodeStatus.ONLINE: (gettext_lazy("Takes tasks and is paid for them."), gettext_lazy("Nothing.")),
    NodeStatus.DEGRADED: (
        gettext_lazy("Something is wrong: a failed self-test, missed heartbeats, a closed connection, a wrong clock."),
        gettext_lazy("Run mesh node doctor. It comes back, or is tested again, by itself."),
    ),
    NodeStatus.DRAINING: (
        gettext_lazy("Takes nothing new: drained, paused, in its quiet hours, or at a cap."),
        gettext_lazy("Resume it, or wait for the quiet hours to end."),
    ),
    NodeStatus.OFFLINE: (gettext_lazy("Not heard from."), gettext_lazy("Start the agent; check the network.")),
    NodeStatus.SUSPENDED: (
        gettext_lazy("Kept from work by an admin, or by a reputation that is used up."),
        gettext_lazy("Read the reason; ask the network's admins."),
    ),
    NodeStatus.REVOKED: (gettext_lazy("Its keys are refused for good."), gettext_lazy("Enrol the machine anew.")),
}
KINDS: dict[str, str | Promise] = {
    "node.registered": gettext_lazy("enrolled"),
    "node.keys_rotated": gettext_lazy("keys changed"),
    "node.limits_changed": gettext_lazy("limits set"),
}


def node_context(node: Node, now: datetime) -> dict[str, Any]:
    """One node as it stands: state, time online, what it serves and earns, keys, and what may be done to it."""
    return {
        "node": node,
        "facts": machine_of(node),
        "lanes": [{"name": lane, "slots": slots, "free": free_slots(node, lane)} for lane, slots in node.lanes.items()],
        "serves": serves(node),
        "keys": [(_("Key id"), node.kid), (_("Signing key"), node.sign_public), (_("Sealing key"), node.seal_public)],
        "retired": list(node.retired_keys.all()[:5]),
        "states": states(node),
        "strips": node_uptime.strips(node, now),
        "estimate": earnings.estimate(node.operator, node, now),
        "actual": earnings.actual(node, now),
        **reputation.context(node),
        "is_draining": node.status == NodeStatus.DRAINING,
        "can_drain": node.status in {NodeStatus.ONLINE, NodeStatus.DEGRADED},
        "can_revoke": node.status != NodeStatus.REVOKED,
    }


def states(node: Node) -> list[dict[str, Any]]:
    """The state machine: every state, whether it is this one, and whether the node can go there from here."""
    here = NodeStatus(node.status)
    return [
        {
            "status": status,
            "meaning": meaning,
            "step": step,
            "here": status == here,
            "next": status in NODE_TRANSITIONS[here],
        }
        for status, (meaning, step) in MEANINGS.items()
    ]


def serves(node: Node) -> list[tuple[str, str, str]]:
    """(model, kind, lane) of everything that the node can be given."""
    rows = node.classes.filter(self_test=False).order_by("requires__model", "requires__kind", "lane")
    return list(rows.values_list("requires__model", "requires__kind", "lane").distinct()[:CLASSES_SHOWN])


def log_of(node: Node, query: Any) -> dict[str, Any]:
    """The event log, a page of it, of one kind or of all."""
    events = Event.objects.filter(subject=node.pk).select_related("actor")
    kinds = list(events.order_by("kind").values_list("kind", flat=True).distinct())
    kind = query.get("kind", "") if query.get("kind", "") in kinds else ""
    shown = events.filter(kind=kind) if kind else events
    page: Page[Event] = Paginator(shown.order_by("-pk"), EVENTS_A_PAGE).get_page(query.get("page"))
    filters = [("", _("All"), not kind), *((name, KINDS.get(name, name.split(".")[1]), name == kind) for name in kinds)]
    return {
        "log_page": page,
        "log": [line_of(event) for event in page],
        "log_filters": [(f"?{urlencode({'kind': name})}" if name else "?", label, on) for name, label, on in filters],
    }


def line_of(event: Event) -> dict[str, Any]:
    """One line: when, what, in what state, why, and whose doing."""
    data = event.data
    text = data.get("reason") or data.get("limits") or (f"{data['old']} → {data['new']}" if "old" in data else "")
    return {
        "at": event.at,
        "status": data.get("status", ""),
        "what": KINDS.get(event.kind, event.kind.split(".")[1]),
        "text": text,
        "actor": event.actor,
    }


def limits_context(node: Node) -> dict[str, Any]:
    """What was set here, and what the machine's own settings say."""
    page, own = (msgspec.convert(value or {}, NodeLimits) for value in (node.limits, node.limits_reported))
    return {
        "page_limits": limits.sentence(page) if node.limits else "",
        "own_limits": limits.sentence(own) if node.limits_reported else "",
        "set_at": from_unix_ms(page.at) if page.at else None,
    }


def free_slots(node: Node, lane: str) -> int | None:
    """Free slots of a lane by the newest heartbeat; None where none has come."""
    return node.free_slots.get(lane) if node.last_seen_at else None


def machine_of(node: Node) -> list[tuple[str, Any]]:
    """What the probe measured and the heartbeats say, as name and value."""
    probe = node.probe
    unknown = _("not reported")
    memory = probe.get("memory_gb")
    gpu_memory = probe.get("gpu_memory_mb")
    return [
        (_("Device"), probe.get("gpu_name") or probe.get("cpu_name") or unknown),
        (_("GPU type"), probe.get("gpu_type") or unknown),
        (_("GPU memory"), f"{gpu_memory} MiB" if gpu_memory else _("none")),
        (_("CPU cores"), probe.get("cpu_cores") or unknown),
        (_("Memory"), f"{memory} GB" if memory else unknown),
        (_("Speed, measured"), f"{node.gflops} GFLOPS float32" if node.gflops else unknown),
        (_("Frameworks"), ", ".join(probe.get("frameworks", [])) or unknown),
        (_("Models"), ", ".join(node.served_models) or _("all that fit")),
        (_("Load"), f"{node.load} %" if node.last_seen_at else unknown),
        (_("Clock offset"), f"{node.clock_offset_ms} ms" if node.last_seen_at else unknown),
        (_("Reputation"), node.reputation),
    ]
