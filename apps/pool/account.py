"""The pool's part of an account's export and of its deletion."""

from collections.abc import Iterator
from typing import Any

from apps.core.models import User
from apps.operators import account_export
from apps.operators.account_errors import AccountHasJobs
from apps.pool.models import Job


def jobs(user: User) -> Iterator[dict[str, Any]]:
    """The person's jobs; what went in and came out is downloaded with each job."""
    return account_export.rows(
        Job.objects.filter(requester=user),
        *("kind", "model", "options", "chunking", "priority", "status", "reason", "price"),
        *("tasks_total", "tasks_done", "tasks_failed", "tasks_cancelled", "idempotency_key"),
        *("created_at", "started_at", "finished_at", "receipt_at"),
        money=("price",),
    )


def open_jobs(user: User) -> AccountHasJobs | None:
    """An account with work in progress cannot be deleted."""
    return AccountHasJobs() if Job.objects.open().filter(requester=user).exists() else None
