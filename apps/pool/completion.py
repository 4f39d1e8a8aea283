"""What nodes say of their attempts. A result counts once: by a compare-and-set on (task, attempt, node)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Coalesce, Greatest

from apps.core import platform_keys
from apps.ledger import accounts, holds, settlement
from apps.ledger.retries import retried
from apps.models import catalog
from apps.operators import reputation
from apps.operators.models import Node, ReputationKind
from apps.pool import attempts, hints, judging, kinds, log, progress, vault
from apps.pool.errors import NotAssigned, ResultRefused
from apps.pool.models import HELD, Attempt, AttemptStatus, Job, Purpose, Result, Task, TaskStatus
from workers.protocol.envelope import Envelope
from workers.protocol.errors import SealBroken
from workers.protocol.messages import TaskResult, decode_body
from workers.protocol.sealing import job_info, open_sealed

Outcome = Literal["completed", "duplicate", "superseded", "cancelled", "failed"]
MAX_DETAIL = 500


@dataclass(frozen=True)
class Accepted:
    """A result whose hashes, seal and shape hold."""

    body: TaskResult
    envelope: dict[str, Any]
    plain: bytes


class AnswerInvalid(ValueError):
    """The node's signed answer is not a result of its task; the attempt has failed."""


@lru_cache(maxsize=256)
def manifest_of(model: str, version: str) -> dict[str, Any]:
    """A version's manifest; a version never changes."""
    return catalog.manifest(catalog.version_of(model, version))


def started(task_id: str, attempt: int, node: Node, now: datetime) -> Literal["running", "superseded", "cancelled"]:
    """The node begins its attempt. Anything but `running` means that it must not."""
    with transaction.atomic():
        same = Task.objects.filter(pk=task_id, attempt=attempt, node=node)
        if same.filter(status=TaskStatus.CLAIMED).update(status=TaskStatus.RUNNING, started_at=now):
            Attempt.objects.filter(task=task_id, number=attempt).update(status=AttemptStatus.RUNNING, started_at=now)
            job_id = same.values_list("job_id", flat=True)[0]
            log.write([log.Line("task.started", task_id, job_id, {"node": node.pk, "attempt": attempt})], now)
            return "running"
    task = _assigned(task_id, attempt, node)
    if task.status == TaskStatus.RUNNING and (task.attempt, task.node_id) == (attempt, node.pk):
        return "running"
    return "cancelled" if _standing(task, attempt, node) == "cancelled" else "superseded"


def complete(envelope: Envelope, sealed: bytes, node: Node, now: datetime, *, wake: bool = True) -> Outcome:
    """Take a node's result: an opened task.result envelope of that node, and the sealed bytes that came beside it.

    `completed`: accepted, stored and paid. `duplicate`: this very attempt was accepted before. `superseded`: the task
    is not this attempt's any more. `cancelled`: nobody wants it any more. `failed`: the node reported an error, or what
    it signed is no result of its task; the attempt is over. Raises NotAssigned or ResultRefused: nothing has changed.
    Whoever refills the node's slot itself says `wake=False`, and the dispatcher is left alone.
    """
    body = decode_body("task.result", envelope.body)
    if not isinstance(body, TaskResult) or envelope.sender != node.pk:
        raise ResultRefused
    if sha256(sealed).hexdigest() != body.sealed_sha256:
        raise ResultRefused("The sealed bytes are not the ones that the envelope names.")
    task = _assigned(body.task, body.attempt, node)
    if task.job_id != body.job:
        raise ResultRefused("The task is of another job.")
    standing = _standing(task, body.attempt, node)
    if standing is not None:
        return standing
    if not body.ok:
        fault = body.error
        return fail_attempt(
            task.pk, body.attempt, node, fault.code if fault else "failed", fault.detail if fault else "", now
        )
    try:
        accepted = Accepted(body, envelope.raw, _opened(task, body, sealed, node))
    except AnswerInvalid as error:
        return fail_attempt(task.pk, body.attempt, node, "result_invalid", str(error), now)
    outcome = _accept(task, accepted, node, now)
    if wake:
        hints.wake()
    return outcome


def fail_attempt(task_id: str, attempt: int, node: Node, code: str, detail: str, now: datetime) -> Outcome:
    """A node's attempt came to nothing by its own word or by ours."""
    # A name in a malformed frame may hold a NUL, which no text of the database can.
    why = attempts.End(AttemptStatus.FAILED, code[:60], detail[:MAX_DETAIL].replace("\x00", ""))
    return "failed" if _end(task_id, attempt, node, why, now) else _outcome(task_id, attempt, node)


def hand_back(
    task_id: str, attempt: int, node: Node, reason: str, now: datetime
) -> Literal["pending", "superseded", "cancelled"]:
    """A node gives a task back unfinished, which does not count against the task."""
    why = attempts.End(AttemptStatus.HANDED_BACK, "handed_back", reason[:MAX_DETAIL], counted=False)
    if _end(task_id, attempt, node, why, now):
        return "pending"
    return "cancelled" if _outcome(task_id, attempt, node) == "cancelled" else "superseded"


@transaction.atomic(durable=True)
def _end(task_id: str, attempt: int, node: Node, why: attempts.End, now: datetime) -> bool:
    found = _assigned(task_id, attempt, node)
    job = progress.locked(found.job_id)
    task = Task.objects.held_by(node.pk, attempt).filter(pk=task_id).first()
    return task is not None and attempts.end(job, task, why, now)


def _assigned(task_id: str, attempt: int, node: Node) -> Task:
    """The task, if that attempt at it was ever the node's; raises NotAssigned."""
    # Found by (task, number) alone, so that no plan begins at everything that the node ever did.
    owners = Attempt.objects.select_related("task__job").filter(task=task_id, number=attempt)
    found = next(iter(owners), None)
    if found is None or found.node_id != node.pk:
        raise NotAssigned
    return found.task


def _standing(task: Task, attempt: int, node: Node) -> Outcome | None:
    """Why the attempt's word counts no more; None while the task is held in it."""
    own = (task.attempt, task.node_id) == (attempt, node.pk)
    if own and task.status in HELD:
        return None
    if own and task.status == TaskStatus.COMPLETED:
        return "duplicate"
    return "cancelled" if task.status == TaskStatus.CANCELLED else "superseded"


def _outcome(task_id: str, attempt: int, node: Node) -> Outcome:
    return _standing(_assigned(task_id, attempt, node), attempt, node) or "superseded"


def _opened(task: Task, body: TaskResult, sealed: bytes, node: Node) -> bytes:
    """The plain result, checked against what the node signed and what its kind promises; raises AnswerInvalid."""
    info = job_info(platform_keys.network_id(), task.job_id, task.pk, body.attempt, node.pk)
    try:
        plain = open_sealed(platform_keys.sealing_key(), sealed, info)
    except SealBroken as error:
        raise AnswerInvalid("The result cannot be opened.") from error
    if sha256(plain).hexdigest() != body.result_sha256:
        raise AnswerInvalid("The result is not the one that the node signed.")
    if body.usage.items != task.items:
        raise AnswerInvalid(f"The chunk has {task.items} items, the node did {body.usage.items}.")
    try:
        kinds.get(task.job.kind).check(plain, task.items, manifest_of(task.job.model, task.job.version))
    except kinds.ResultInvalid as error:
        raise AnswerInvalid(str(error)) from error
    wrong = judging.mismatch(task.job, plain) if task.job.purpose == Purpose.SELF_TEST else ""
    if wrong:
        raise AnswerInvalid(wrong)
    return plain


@retried
@transaction.atomic(durable=True)
def _accept(task: Task, accepted: Accepted, node: Node, now: datetime) -> Outcome:
    """Complete the task, store its result, count and pay it, all or nothing."""
    job = progress.locked(task.job_id)
    task.attempt, task.node_id = accepted.body.attempt, node.pk
    began = now - timedelta(milliseconds=accepted.body.duration_ms)
    # A short attempt is not announced: its node's signed duration tells when it began.
    started_at = Coalesce("started_at", Greatest("claimed_at", Value(began)))
    if not progress.move(task, HELD, TaskStatus.COMPLETED, completed_at=now, started_at=started_at):
        return _outcome(task.pk, task.attempt, node)
    Attempt.objects.filter(task=task, number=task.attempt).update(status=AttemptStatus.COMPLETED, ended_at=now)
    _store(job, task, accepted, node, now)
    line = {"node": node.pk, "attempt": task.attempt, "index": task.index, "duration_ms": accepted.body.duration_ms}
    log.write([log.Line("task.completed", task.pk, job.pk, line)], now)
    progress.advance(job, now, done=1)
    if job.purpose == Purpose.REQUEST:
        reputation.record(node.pk, ReputationKind.SUCCESS, now, task.pk)
    # Last, since the network's own accounts stay locked from here until the commit.
    if job.hold_id is not None:
        _pay(job.hold_id, task, node, now)
    progress.settle_up(job, now)
    return "completed"


def _pay(hold_id: UUID, task: Task, node: Node, now: datetime) -> None:
    """The chunk's fee, once: the transfers' ids follow from the task's."""
    payee = accounts.wallet(node.operator.user)
    [paid] = settlement.legs([settlement.Chunk(hold_id, task.pk, [payee.pk], task.price)])
    holds.settle(hold_id, paid, now=now)


def _store(job: Job, task: Task, accepted: Accepted, node: Node, now: datetime) -> None:
    body = accepted.body
    Result.objects.create(
        task=task,
        attempt=task.attempt,
        node=node,
        node_public=node.sign_public,
        model=job.model,
        ciphertext=vault.lock_result(task.pk, accepted.plain),
        sha256=body.result_sha256,
        envelope=accepted.envelope,
        items=body.usage.items,
        tokens_in=body.usage.tokens_in,
        tokens_out=body.usage.tokens_out,
        duration_ms=body.duration_ms,
        fee=task.price,
        validation="shape" if job.purpose == Purpose.REQUEST else "known_answer",
        completed_at=now,
    )
