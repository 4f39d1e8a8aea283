"""Why a node was idle: the last hundred tasks that went elsewhere or wait, each with the reason that kept it away.

What happened is read from rows: the node's history says in what state it was, its attempts how full it was, the task
who got it. What a node can do is judged as it is now, and the page says so.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.core import parameters
from apps.operators.models import Node, NodeStatus, Operator
from apps.pool import classes, node_states
from apps.pool.models import Attempt, Purpose, Task, TaskStatus

MISSED = 100
# In words, and what may be done about it; in the order in which they are looked for.
REASONS: dict[str, tuple[str | Promise, str | Promise]] = {
    "not_enrolled": (_("It was not enrolled yet"), ""),
    "paused": (_("Paused by its owner"), _("Resume it.")),
    "quiet_hours": (_("Quiet hours"), _("Shorten them, if you want the work.")),
    "memory_cap": (_("At its memory cap"), _("Raise the cap, or serve fewer models.")),
    "power_cap": (_("At its power cap"), _("Raise the cap.")),
    "draining": (_("Drained"), _("Resume it.")),
    "offline": (_("Offline"), _("Keep the agent running; see the time online.")),
    "degraded": (_("Degraded"), _("See the event log; run mesh node doctor.")),
    "self_test": (_("In its self-test"), ""),
    "suspended": (_("Suspended"), _("Ask the network's admins.")),
    "operator": (_("Its operator may not work"), _("Ask the network's admins.")),
    "model": (_("It does not serve the model"), _("Leave `models` in its settings empty, or add the model.")),
    "framework": (_("It lacks the framework"), _("Install the framework, then join again.")),
    "lane": (_("It has no lane for it"), _("Such work needs another kind of machine.")),
    "memory": (_("Too little memory for the model"), _("Raise the memory cap, or add memory.")),
    "tier": (_("Work of another tier"), _("Apply for the tier.")),
    "region": (_("Work for another region"), ""),
    "reputation": (_("Its reputation is too low for work"), _("See its reputation: it rises again while online.")),
    "full": (_("All its slots were taken"), _("Raise `slots` in its settings, if the machine can do more.")),
    "lost": (_("Another node was first"), _("Nothing is wrong: work goes to the emptiest and the quickest.")),
    "waiting": (_("Still waiting, this node could take it"), ""),
}
BY_OWN_WILL = {
    reason: code.replace("power_unmeasured", "power_cap") for code, (reason, _step) in node_states.HELD.items()
}


@dataclass(frozen=True)
class Miss:
    """One task that the node did not get: when that was decided, who got it, and why not this one."""

    task: Task
    at: datetime
    taker: Node | None
    code: str

    @property
    def words(self) -> str | Promise:
        """The reason."""
        return REASONS[self.code][0]


def misses(node: Node, now: datetime) -> list[Miss]:
    """The newest tasks of requesters that this node has not had, the newest first; five queries."""
    # Ids grow with time, so that their index gives the newest first.
    attempts = Attempt.objects.filter(node=node).values("task")
    tasks = (
        Task.objects.filter(job__purpose=Purpose.REQUEST)
        .exclude(pk__in=attempts)
        .exclude(status=TaskStatus.CANCELLED, claimed_at=None)
    )
    newest = list(tasks.select_related("requires", "node").order_by("-pk")[:MISSED])
    if not newest:
        return []
    moments = {task.pk: task.claimed_at or now for task in newest}
    history = History.of(node, min(moments.values()))
    work = Work.of(node, min(moments.values()))
    cannot = {needs.pk: classes.refusal(node, needs) for needs in {task.requires for task in newest}}
    return [
        Miss(
            task,
            moments[task.pk],
            task.node,
            why(node, task, moments[task.pk], cannot[task.requires_id], (history, work)),
        )
        for task in newest
    ]


@dataclass(frozen=True)
class History:
    """The states of a node from some moment on: when each began, and its code among the reasons."""

    moments: Sequence[datetime]
    codes: Sequence[str]
    before: str

    @classmethod
    def of(cls, node: Node, since: datetime) -> "History":
        """One query; the state before the first change is the one that it changed from."""
        rows = list(node.events.filter(at__gte=since).order_by("id").values_list("at", "old", "new", "reason"))
        if not rows:
            return cls([], [], state_code(node.status, node.reason))
        older = node.events.filter(at__lt=since).order_by("-id").values_list("new", "reason").first()
        before = state_code(*older) if older else state_code(rows[0][1], "")
        return cls([row[0] for row in rows], [state_code(row[2], row[3]) for row in rows], before)

    def at(self, moment: datetime) -> str:
        """Why the node's state kept it from work then; empty if it did not."""
        place = bisect_right(self.moments, moment)
        return self.codes[place - 1] if place else self.before


def state_code(status: str, reason: str) -> str:
    """The code of a state that takes no work; empty for online."""
    if status == NodeStatus.DRAINING:
        return BY_OWN_WILL.get(reason, "draining")
    known = {NodeStatus.ONLINE: "", NodeStatus.PENDING: "offline", NodeStatus.REVOKED: "suspended"}
    return known.get(NodeStatus(status), status) if status else "not_enrolled"


@dataclass(frozen=True)
class Work:
    """What the node had in hand from some moment on."""

    spans: Sequence[tuple[datetime, datetime | None]]
    slots: int

    @classmethod
    def of(cls, node: Node, since: datetime) -> "Work":
        """One query: attempts that were not over by then."""
        held = Attempt.objects.filter(node=node).exclude(ended_at__lt=since)
        return cls(list(held.values_list("claimed_at", "ended_at")), sum(int(n) for n in node.lanes.values()))

    def full(self, moment: datetime) -> bool:
        """Whether every slot was taken then."""
        return sum(begun <= moment and (over is None or over > moment) for begun, over in self.spans) >= self.slots


def why(node: Node, task: Task, moment: datetime, cannot: str, past: tuple[History, Work]) -> str:
    """The first of the reasons that holds."""
    history, work = past
    if moment < node.enrolled_at:
        return "not_enrolled"
    checks: Iterable[tuple[str, bool]] = (
        (history.at(moment), bool(history.at(moment))),
        ("operator", node.operator.status != Operator.Status.ACTIVE),
        (cannot, bool(cannot)),
        ("reputation", node.reputation < parameters.get("reputation.work_below")),
        ("full", work.full(moment)),
        ("waiting", task.status == TaskStatus.PENDING),
    )
    return next((code for code, holds in checks if holds), "lost")


def context(node: Node, now: datetime, code: str = "") -> dict[str, Any]:
    """What the page shows: reasons with their counts, and the tasks, of one reason or of all."""
    found = misses(node, now)
    counts = Counter(miss.code for miss in found)
    last = Attempt.objects.filter(node=node).aggregate(at=Max("claimed_at"))["at"]
    return {
        "node": node,
        "misses": [miss for miss in found if not code or miss.code == code],
        "total": len(found),
        "reasons": [
            {
                "code": reason,
                "words": REASONS[reason][0],
                "step": REASONS[reason][1],
                "count": count,
                "on": reason == code,
            }
            for reason, count in counts.most_common()
        ],
        "chosen": code if code in counts else "",
        "last_task_at": last,
    }
