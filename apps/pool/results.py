"""A job's result from its chunks' results, in their order."""

from dataclasses import dataclass

import numpy as np

from apps.pool import kinds, vault
from apps.pool.errors import JobIncomplete, JobNotFinished
from apps.pool.models import Job, Result, TaskStatus


@dataclass(frozen=True)
class Part:
    """One chunk and, where it was delivered, its result."""

    task_id: str
    index: int
    status: str
    items: int
    plain: bytes | None
    tokens_in: int = 0
    tokens_out: int = 0


def parts(job: Job) -> list[Part]:
    """All chunks in order, with what was delivered; raises JobNotFinished while one may still change."""
    if job.closed_at is None:
        raise JobNotFinished(f"{job.tasks_live} of {job.tasks_total} chunks are not done yet.")
    delivered = {result.task_id: result for result in Result.objects.filter(task__job=job)}
    return [
        _part(task.pk, task.index, task.status, task.items, delivered.get(task.pk))
        for task in job.tasks.order_by("index")
    ]


def _part(task_id: str, index: int, status: str, items: int, result: Result | None) -> Part:
    if result is None:
        return Part(task_id, index, status, items, None)
    return Part(task_id, index, status, items, vault.open_result(result), result.tokens_in, result.tokens_out)


def vectors(job: Job) -> np.ndarray:
    """The vectors of a completed embed job, (inputs, dimensions) float32; raises JobIncomplete."""
    return np.asarray(kinds.Embed().join(_whole(job)), np.float32)


def text(job: Job) -> str:
    """The text of a completed generate job; raises JobIncomplete."""
    return str(kinds.Generate().join(_whole(job)))


def _whole(job: Job) -> list[bytes]:
    found = parts(job)
    plain = [part.plain for part in found if part.plain is not None]
    if job.status != TaskStatus.COMPLETED or len(plain) != len(found):
        raise JobIncomplete(f"The job is {job.status}: {job.reason}")
    return plain


def sparse_vectors(found: list[Part]) -> list[list[float] | None]:
    """One vector for each input, in order; None for the inputs of chunks that were not delivered."""
    rows: list[list[float] | None] = []
    for part in found:
        rows += kinds.Embed.vectors(part.plain).tolist() if part.plain is not None else [None] * part.items
    return rows


def answers(found: list[Part]) -> list[str | None]:
    """Each chunk's text, in order; None for chunks that were not delivered."""
    return [kinds.Generate.answer(part.plain)["response"] if part.plain is not None else None for part in found]
