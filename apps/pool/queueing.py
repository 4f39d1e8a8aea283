"""Putting a job's chunks into the queue."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from django.db.models import F, Sum

from apps.core.models import User
from apps.pool import hints, log, vault
from apps.pool.kinds import Chunk
from apps.pool.models import Job, Payload, RequirementClass, Task
from apps.pool.ordering import order_key
from workers.protocol.ids import new_id

BATCH = 500


def backlog(user: User | None) -> int:
    """How many chunks a requester has in the queue or on nodes."""
    ended = F("tasks_done") + F("tasks_failed") + F("tasks_cancelled")
    waiting = Job.objects.open().filter(requester=user).aggregate(waiting=Sum(F("tasks_total") - ended))["waiting"]
    return int(waiting or 0)


def enqueue(job: Job, chunks: Sequence[Chunk], needs: RequirementClass, now: datetime) -> list[Task]:
    """Write a job's tasks with their encrypted payloads and say so; needs an open transaction."""
    ahead = backlog(job.requester) - job.tasks_total if job.requester is not None else 0
    tasks = [
        Task(
            id=new_id("tsk", now),
            job=job,
            index=index,
            requires=needs,
            order_key=order_key(job.priority, now, max(0, ahead) + index, job.expires_at),
            items=chunk.items,
            price=job.price_per_chunk,
            work_s=chunk.work_s,
            created_at=now,
        )
        for index, chunk in enumerate(chunks)
    ]
    Task.objects.bulk_create(tasks, batch_size=BATCH)
    payloads = [
        Payload(
            task=task,
            ciphertext=vault.lock_payload(task.pk, chunk.payload),
            sha256=sha256(chunk.payload).hexdigest(),
        )
        for task, chunk in zip(tasks, chunks, strict=True)
    ]
    Payload.objects.bulk_create(payloads, batch_size=BATCH)
    log.write([log.Line("task.created", task.pk, job.pk, {"index": task.index}) for task in tasks], now)
    hints.wake()
    return tasks
