"""What the pages of jobs show, prepared from rows."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.ledger.amounts import show
from apps.ledger.models import Hold
from apps.pool import results
from apps.pool.models import Job, Receipt, Task, TaskStatus

SHOWN_DIMENSIONS = 6
SHOWN_ROWS = 5
SHOWN_CHUNKS = 200
WAITING = (gettext_lazy("It waits for a free node."), gettext_lazy("Nothing to do: it begins by itself."))


@dataclass(frozen=True)
class Stage:
    """One stage of a job."""

    title: str
    detail: str
    state: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Row:
    """One chunk's line."""

    number: int
    task: Task
    node: str
    done: int
    state: str


def clock(moment: datetime | None) -> str:
    """A time of day in UTC."""
    return date_format(moment, "H:i:s") if moment else ""


def stages(job: Job, receipt: Receipt | None) -> list[Stage]:
    """Queued → Scheduled → Running → Verify → Settled, each with its time."""
    first = job.tasks.exclude(claimed_at=None).order_by("claimed_at").first()
    ended = job.closed_at is not None
    failed = job.status in {TaskStatus.FAILED, TaskStatus.CANCELLED}
    scheduled, running = first is not None, job.started_at is not None
    counted = _("%(done)d of %(total)d chunks") % {"done": job.tasks_done, "total": job.tasks_total}
    end = "failed" if failed else "done"
    return [
        Stage(_("Queued"), clock(job.created_at), "done"),
        Stage(
            _("Scheduled"),
            clock(first.claimed_at) if first else _("waits for a node"),
            "done" if scheduled else "failed" if ended else "now",
        ),
        Stage(
            _("Running"),
            counted,
            end if ended else "now" if scheduled or running else "todo",
            job.tasks_done,
            job.tasks_total,
        ),
        Stage(
            _("Verify"), _("each result is checked as it comes"), end if ended else "now" if job.tasks_done else "todo"
        ),
        Stage(
            _("Settled"),
            clock(receipt.issued_at)
            if receipt
            else _("transfers are being sealed")
            if ended
            else _("after the last chunk"),
            "done" if receipt else "now" if ended else "todo",
        ),
    ]


def rows(job: Job) -> list[Row]:
    """The first chunks, in order."""
    tasks = job.tasks.select_related("node").order_by("index")[:SHOWN_CHUNKS]
    return [
        Row(
            number=task.index + 1,
            task=task,
            node=task.node.name if task.node else "",
            done={TaskStatus.COMPLETED: 2, TaskStatus.RUNNING: 1}.get(TaskStatus(task.status), 0),
            state={TaskStatus.COMPLETED: "done", TaskStatus.FAILED: "failed"}.get(TaskStatus(task.status), ""),
        )
        for task in tasks
    ]


def money(job: Job) -> dict[str, int]:
    """Base units: the price, what was paid, what is still held, what came back."""
    hold = Hold.objects.filter(pk=job.hold_id).first() if job.hold_id else None
    paid, back = (hold.settled, hold.released) if hold else (0, 0)
    return {"price": job.price, "paid": paid, "held": job.price - paid - back, "back": back}


def preview(job: Job) -> dict[str, Any] | None:
    """The beginning of a completed job's result."""
    if job.status != TaskStatus.COMPLETED:
        return None
    if job.kind == "generate":
        return {"text": results.text(job)}
    vectors = results.vectors(job)
    shown = vectors[:SHOWN_ROWS, :SHOWN_DIMENSIONS]
    return {
        "count": len(vectors),
        "dimensions": vectors.shape[1],
        "rows": [[f"{x:+.4f}" for x in row] for row in shown],
    }


def curl(job: Job) -> str:
    """The same job as a call of the API."""
    body = '"inputs": ["…"]' if job.kind == "embed" else '"prompt": "…"'
    return (
        f"curl {settings.SITE_URL}/api/v1/jobs \\\n  -H 'Authorization: Bearer mk_…' \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f'  -d \'{{"kind": "{job.kind}", "model": "{job.model}", {body}}}\''
    )


def detail(job: Job) -> dict[str, Any]:
    """The context of a job's page."""
    receipt = Receipt.objects.filter(job=job).first()
    waiting = job.status == TaskStatus.PENDING
    return {
        "job": job,
        "reason": WAITING[0] if waiting else job.reason,
        "next_step": WAITING[1] if waiting else job.next_step,
        "stages": stages(job, receipt),
        "rows": rows(job),
        "more": max(0, job.tasks_total - SHOWN_CHUNKS),
        "money": money(job),
        "preview": preview(job),
        "receipt": receipt,
        "curl": curl(job),
        "can_cancel": job.closed_at is None,
        "price_each": show(job.price_per_chunk),
    }
