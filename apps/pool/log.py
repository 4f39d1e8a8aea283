"""The pool's lines in the event log, many at once, and one live message for each job that they concern."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction

from apps.core import events
from apps.core.models import Event
from apps.core.request_id import current_request_id


@dataclass(frozen=True)
class Line:
    """One event of a task: task.created, task.claimed, task.completed, task.failed, …"""

    kind: str
    task_id: str
    job_id: str
    data: dict[str, Any] = field(default_factory=dict)


def write(lines: Iterable[Line], now: datetime) -> None:
    """Write events of tasks; after commit each job's topic hears once of each kind, with how many."""
    told: dict[tuple[str, str], int] = {}
    rows = []
    for line in lines:
        data = {"job": line.job_id, **line.data}
        rows.append(Event(kind=line.kind, subject=line.task_id, data=data, request_id=current_request_id(), at=now))
        told[line.job_id, line.kind] = told.get((line.job_id, line.kind), 0) + 1
    Event.objects.bulk_create(rows, batch_size=1000)
    for (job_id, kind), count in told.items():
        transaction.on_commit(partial(tell, job_id, kind, {"count": count}, now))


def tell(job_id: str, kind: str, data: dict[str, Any], now: datetime) -> None:
    """A live message on a job's topic, without a row."""
    at = now.isoformat().replace("+00:00", "Z")
    events.publish([f"job.{job_id}"], {"kind": kind, "subject": job_id, "data": data, "at": at})
