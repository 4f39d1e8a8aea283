"""What the network amounts to, for the landing page and the overview. Every figure is counted from rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.paginator import Page, Paginator
from django.db.models import BigIntegerField, Case, Count, FloatField, Q, QuerySet, Sum, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Extract, Floor
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apps.operators.models import Node, NodeStatus, Tier
from apps.pool.models import Job, Purpose, Result, TaskStatus

NODES_PER_PAGE = 25
CURRENT_JOBS = 8
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Figure:
    """One number of the totals, as it is printed."""

    label: str
    value: str
    unit: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Span:
    """A time span of the chart: how far back, and the seconds that one point stands for."""

    key: str
    label: str | Promise
    length: timedelta
    step_s: int
    caption: str | Promise


@dataclass(frozen=True)
class Filter:
    """One choice above the node table; it lives in the URL."""

    name: str
    label: str
    any: str
    choices: list[tuple[str, str | Promise]]
    chosen: str


@dataclass(frozen=True)
class NodeRow:
    """One node as the public table shows it: no keys, no owner."""

    name: str
    device: str
    region: str
    tier: str
    status: str
    reason: str
    gflops: int
    free_slots: int
    reputation: int
    last_seen_at: datetime | None

    @classmethod
    def of(cls, node: Node) -> "NodeRow":
        return cls(
            name=node.name,
            device=node.probe.get("gpu_name") or node.probe.get("cpu_name", ""),
            region=node.operator.region,
            tier=node.operator.tier,
            status=node.status,
            reason=node.reason,
            gflops=node.gflops,
            free_slots=sum(node.free_slots.values()),
            reputation=node.reputation,
            last_seen_at=node.last_seen_at,
        )


SPANS = (
    Span("1h", gettext_lazy("1 h"), timedelta(hours=1), 60, gettext_lazy("Inferences per minute, last hour")),
    Span("24h", gettext_lazy("24 h"), DAY, 900, gettext_lazy("Inferences per 15 minutes, last 24 hours")),
    Span("7d", gettext_lazy("7 d"), 7 * DAY, 7200, gettext_lazy("Inferences per 2 hours, last 7 days")),
)


def totals(now: datetime) -> list[Figure]:
    """Nodes online, their measured TFLOPS, inferences and jobs."""
    return [*node_figures(), inference_figure(now), job_figure(now)]


def node_figures() -> list[Figure]:
    """How many nodes are online, and what their processors measured at enrolment."""
    gflops = Cast(KeyTextTransform("gflops", "probe"), FloatField())
    online = Q(status=NodeStatus.ONLINE)
    counted = Node.objects.not_revoked().aggregate(
        all=Count("pk"), online=Count("pk", filter=online), gflops=Sum(gflops, filter=online)
    )
    away = counted["all"] - counted["online"]
    return [
        Figure(
            _("Nodes online"),
            intcomma(counted["online"]),
            _("of %(count)s") % {"count": intcomma(counted["all"])},
            ngettext("%(count)d is not", "%(count)d are not", away) % {"count": away} if away else "",
        ),
        Figure("TFLOPS", f"{(counted['gflops'] or 0) / 1000:.2f}", "", _("float32, measured by the nodes online")),
    ]


def inference_figure(now: datetime) -> Figure:
    """Inputs computed for requesters since genesis: accepted results, self-tests left out."""
    counted = requested_results().aggregate(
        all=Sum("items", default=0), day=Sum("items", default=0, filter=Q(completed_at__gte=now - DAY))
    )
    return Figure(_("Inferences"), intcomma(counted["all"]), "", since_yesterday(counted["day"]))


def job_figure(now: datetime) -> Figure:
    """Jobs completed, and their share of those that completed or failed."""
    completed, failed = Q(status=TaskStatus.COMPLETED), Q(status=TaskStatus.FAILED)
    counted = Job.objects.requests().aggregate(
        completed=Count("pk", filter=completed),
        failed=Count("pk", filter=failed),
        day=Count("pk", filter=completed & Q(finished_at__gte=now - DAY)),
    )
    ended = counted["completed"] + counted["failed"]
    share = _("%(share).1f %% success") % {"share": 100 * counted["completed"] / ended} if ended else ""
    hint = " · ".join(filter(None, (share, since_yesterday(counted["day"]))))
    return Figure(_("Jobs completed"), intcomma(counted["completed"]), "", hint)


def since_yesterday(count: int) -> str:
    """The change within a day, or nothing where nothing changed."""
    return _("+%(count)s in 24 h") % {"count": intcomma(count)} if count else ""


def requested_results() -> QuerySet[Result]:
    """Accepted results that somebody asked for."""
    return Result.objects.filter(task__job__purpose=Purpose.REQUEST)


def span_named(key: str | None) -> Span:
    """The span of that key, or the shortest."""
    return next((span for span in SPANS if span.key == key), SPANS[0])


def throughput(span: Span, now: datetime) -> dict[str, Any] | None:
    """Inferences per step as a chart, empty steps as zeros; None where the span holds no result."""
    step = span.step_s
    last = int(now.timestamp()) // step
    first = last - int(span.length.total_seconds()) // step
    counts = dict.fromkeys(range(first, last + 1), 0)
    at = Cast(Floor(Extract("completed_at", "epoch") / step), BigIntegerField())
    results = requested_results().filter(completed_at__gte=now - span.length)
    counts.update(results.values_list(at).annotate(Sum("items")))
    if not any(counts.values()):
        return None
    series = {"label": _("Inferences"), "unit": "", "values": list(counts.values()), "fill": True}
    return {"x": [start * step for start in counts], "series": [series]}


def current_jobs(user: Any) -> list[dict[str, Any]]:
    """The newest open jobs. Whose they are is nobody's business; a requester's own are links."""
    jobs = list(Job.objects.requests().open()[:CURRENT_JOBS])
    mine = set(Job.objects.visible_to(user).filter(pk__in=[job.pk for job in jobs]).values_list("pk", flat=True))
    return [
        {
            "id": job.pk,
            "kind": job.kind,
            "model": job.model,
            "status": job.status,
            "done": job.tasks_done,
            "total": job.tasks_total,
            "created_at": job.created_at,
            "mine": job.pk in mine,
        }
        for job in jobs
    ]


def node_filters(query: Mapping[str, str]) -> list[Filter]:
    """The filters of the node table with what the URL chose; unknown values choose nothing."""
    known = (
        ("status", _("Status"), _("Any status"), NodeStatus.choices),
        ("tier", _("Tier"), _("Any tier"), Tier.choices),
    )
    return [
        Filter(name, label, any_, list(choices), chosen_of(query.get(name, ""), choices))
        for name, label, any_, choices in known
    ]


def chosen_of(value: str, choices: Iterable[tuple[str, Any]]) -> str:
    """The value, where it is one of the choices."""
    return value if value in dict(choices) else ""


def nodes_page(filters: list[Filter], number: str | None) -> Page[Any]:
    """One page of NodeRow for the nodes that the filters let through, those online first."""
    paths = {"status": "status", "tier": "operator__tier"}
    wanted = {paths[f.name]: f.chosen for f in filters if f.chosen}
    nodes = Node.objects.filter(**wanted) if "status" in wanted else Node.objects.not_revoked().filter(**wanted)
    online_first = Case(When(status=NodeStatus.ONLINE, then=0), default=1)
    in_order = nodes.select_related("operator").order_by(online_first, "name", "pk")
    page: Page[Any] = Paginator(in_order, NODES_PER_PAGE).get_page(number)
    page.object_list = [NodeRow.of(node) for node in page.object_list]
    return page
