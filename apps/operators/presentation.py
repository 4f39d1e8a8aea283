"""What the operators' pages show, prepared from rows."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from apps.core.models import User
from apps.operators import applications
from apps.operators.models import Application, ApplicationStatus, Node, NodeStatus, Operator

CAUSES_AFTER_S = 120
CAUSES = (
    "The agent is not running: start it with `mesh node run` and leave it open.",
    "The machine cannot reach the node API or the gateway: `mesh node doctor` says which port is closed.",
    "The clock is off by more than 30 s: turn on time synchronisation.",
)


@dataclass(frozen=True)
class Stage:
    """One step of the way to a node that works."""

    title: str | Promise
    detail: str
    state: str


def application_of(user: User) -> Application | None:
    """The user's application, if there is one."""
    return Application.objects.filter(user=user).first()


def operator_of(user: User) -> Operator | None:
    """The user as an operator, once approved."""
    return Operator.objects.select_related("user").filter(user=user).first()


def day(moment: datetime | None) -> str:
    """A date as the page prints it."""
    return date_format(moment, "j M") if moment else ""


def way_online(user: User) -> list[Stage]:
    """Application → Approved → Stake → Install → Online, as far as this user has come."""
    application, operator = application_of(user), operator_of(user)
    nodes = list(Node.objects.not_revoked().filter(operator=operator)) if operator else []
    status = application.status if application else ApplicationStatus.DRAFT
    submitted = status in {ApplicationStatus.SUBMITTED, ApplicationStatus.APPROVED}
    staked = bool(operator and operator.has_stake)
    online = any(node.status == NodeStatus.ONLINE for node in nodes)
    done = [submitted, operator is not None, staked, bool(nodes), online]
    details = [
        _("submitted %(day)s") % {"day": day(application.submitted_at)} if application and submitted else _("tell us"),
        day(operator.approved_at) if operator else review_detail(application),
        _("locked") if staked else _("lock the tier's stake"),
        _("%(n)d enrolled") % {"n": len(nodes)} if nodes else _("one command"),
        _("working") if online else _("self-test, then first task"),
    ]
    titles = [_("Application"), _("Approved"), _("Stake"), _("Install"), _("Online")]
    now = done.index(False) if False in done else len(done)
    stages = [
        Stage(title, detail, "done" if i < now else "now" if i == now else "todo")
        for i, (title, detail) in enumerate(zip(titles, details, strict=True))
    ]
    if status == ApplicationStatus.REJECTED:
        stages[0] = Stage(titles[0], _("change and hand in again"), "now")
        stages[1] = Stage(titles[1], _("rejected"), "failed")
    return stages


def review_detail(application: Application | None) -> str:
    """Where an application stands in the queue."""
    if application is None or application.status != ApplicationStatus.SUBMITTED:
        return _("after a review")
    return _("number %(n)d in the queue") % {"n": applications.place_in_queue(application)}


def waiting(node: Node | None, issued_at: datetime | None, now: datetime) -> dict[str, Any]:
    """The register page's live part: nothing yet, enrolled, or online; the likely causes after two minutes."""
    since = (now - issued_at).total_seconds() if issued_at else 0
    silent = node is None or node.last_seen_at is None
    return {
        "node": node,
        "online": bool(node and node.status == NodeStatus.ONLINE),
        "causes": CAUSES if silent and since > CAUSES_AFTER_S else (),
    }


def node_rows(user: User) -> list[Node]:
    """The user's nodes, revoked ones last."""
    nodes = Node.objects.filter(operator__user=user).select_related("operator")
    return sorted(nodes, key=lambda node: (node.status == NodeStatus.REVOKED, node.name))


def facts_of(node: Node) -> list[tuple[str, Any]]:
    """What the probe and the heartbeats say, as name and value."""
    probe = node.probe
    return [
        (_("Device"), probe.get("gpu_name") or probe.get("cpu_name") or "CPU"),
        (_("GPU type"), probe.get("gpu_type", "cpu")),
        (_("CPU cores"), probe.get("cpu_cores")),
        (_("Memory"), f"{probe.get('memory_gb', '?')} GB"),
        (_("Speed, measured"), f"{node.gflops} GFLOPS float32"),
        (_("Frameworks"), ", ".join(probe.get("frameworks", []))),
        (_("Lanes"), ", ".join(f"{lane} ({slots})" for lane, slots in node.lanes.items())),
        (_("Models"), ", ".join(probe.get("models", [])) or _("all that fit")),
        (_("Load"), f"{node.load} %"),
        (_("Reputation"), node.reputation),
        (_("Key id"), node.kid),
    ]
