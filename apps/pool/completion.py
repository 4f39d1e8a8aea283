"""What nodes say of their attempts. A result counts once: by a compare-and-set on (task, attempt, node)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Coalesce, Greatest

from apps.core import platform_keys
from apps.core.errors import MeshError
from apps.ledger import accounts, settlement
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
class Answer:
    """What a node posted: its opened task.result envelope, and the sealed bytes that came beside it."""

    envelope: Envelope
    sealed: bytes


@dataclass(frozen=True)
class Accepted:
    """A result whose hashes, seal and shape hold, with the task as it was when it came."""

    task: Task
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
    [outcome] = complete_many([Answer(envelope, sealed)], node, now, wake=wake)
    if isinstance(outcome, MeshError):
        raise outcome
    return outcome


def complete_many(
    answers: Sequence[Answer], node: Node, now: datetime, *, wake: bool = True
) -> list[Outcome | MeshError]:
    """Take many results of one node, each for itself as `complete` does; what is refused is its error, in its place.

    Those that are good are accepted in one transaction, and where one of them is refused there in smaller ones.
    """
    found: dict[int, Outcome | MeshError] = {}
    good: dict[int, Accepted] = {}
    for place, answer in enumerate(answers):
        try:
            examined = _examined(answer, node, now)
        except (NotAssigned, ResultRefused) as refusal:
            found[place] = refusal
            continue
        if isinstance(examined, Accepted):
            good[place] = examined
        else:
            found[place] = examined
    found.update(zip(good, _accept_each(list(good.values()), node, now), strict=True))
    if wake and good:
        hints.wake()
    return [found[place] for place in range(len(answers))]


def _examined(answer: Answer, node: Node, now: datetime) -> Accepted | Outcome:
    """The answer, if it holds; or what became of its attempt, which it ends where it does not."""
    body = decode_body("task.result", answer.envelope.body)
    if not isinstance(body, TaskResult) or answer.envelope.sender != node.pk:
        raise ResultRefused
    if sha256(answer.sealed).hexdigest() != body.sealed_sha256:
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
        return Accepted(task, body, answer.envelope.raw, _opened(task, body, answer.sealed, node))
    except AnswerInvalid as error:
        return fail_attempt(task.pk, body.attempt, node, "result_invalid", str(error), now)


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


def _accept_each(good: Sequence[Accepted], node: Node, now: datetime) -> Sequence[Outcome | MeshError]:
    """Accept all in one transaction; one that cannot be is halved out of it, so that it costs no other."""
    if not good:
        return []
    try:
        return _accept(good, node, now)
    except MeshError as refusal:
        if len(good) == 1:
            return [refusal]
        half = len(good) // 2
        return [*_accept_each(good[:half], node, now), *_accept_each(good[half:], node, now)]


@retried
@transaction.atomic(durable=True)
def _accept(good: Sequence[Accepted], node: Node, now: datetime) -> list[Outcome]:
    """Complete the tasks, store their results, count and pay them, all or nothing."""
    jobs = progress.locked_all({one.task.job_id for one in good})
    done = [one for one in good if _completed(one, node, now)]
    mine = set(map(id, done))
    outcomes: list[Outcome] = [
        "completed" if id(one) in mine else _outcome(one.task.pk, one.body.attempt, node) for one in good
    ]
    tasks = [one.task.pk for one in done]
    Attempt.objects.filter(task__in=tasks, node=node, ended_at=None).update(
        status=AttemptStatus.COMPLETED, ended_at=now
    )
    Result.objects.bulk_create([_result(jobs[one.task.job_id], one, node, now) for one in done])
    log.write([_line(one, node) for one in done], now)
    closing = Counter(one.task.job_id for one in done)
    for job_id, count in closing.items():
        progress.advance(jobs[job_id], now, done=count)
    asked = [one for one in done if jobs[one.task.job_id].purpose == Purpose.REQUEST]
    reputation.record_all(node.pk, ReputationKind.SUCCESS, now, [one.task.pk for one in asked])
    # Last, since the network's own accounts stay locked from here until the commit.
    _pay(jobs, done, node, now)
    for job_id in closing:
        progress.settle_up(jobs[job_id], now)
    return outcomes


def _completed(one: Accepted, node: Node, now: datetime) -> bool:
    """Move the task, if it is still this attempt's."""
    task = one.task
    task.attempt, task.node_id = one.body.attempt, node.pk
    began = now - timedelta(milliseconds=one.body.duration_ms)
    # A short attempt is not announced: its node's signed duration tells when it began.
    started_at = Coalesce("started_at", Greatest("claimed_at", Value(began)))
    return progress.move(task, HELD, TaskStatus.COMPLETED, completed_at=now, started_at=started_at)


def _line(one: Accepted, node: Node) -> log.Line:
    task = one.task
    told = {"node": node.pk, "attempt": task.attempt, "index": task.index, "duration_ms": one.body.duration_ms}
    return log.Line("task.completed", task.pk, task.job_id, told)


def _pay(jobs: Mapping[str, Job], done: Sequence[Accepted], node: Node, now: datetime) -> None:
    """The chunks' fees, each once: the transfers' ids follow from the tasks'."""
    held = [(hold_id, one.task) for one in done if (hold_id := jobs[one.task.job_id].hold_id) is not None]
    if not held:
        return
    payee = accounts.wallet(node.operator.user)
    chunks = [settlement.Chunk(hold_id, task.pk, [payee.pk], task.price) for hold_id, task in held]
    settlement.pay(chunks, now=now)


def _result(job: Job, one: Accepted, node: Node, now: datetime) -> Result:
    task, body = one.task, one.body
    return Result(
        task=task,
        attempt=task.attempt,
        node=node,
        node_public=node.sign_public,
        model=job.model,
        ciphertext=vault.lock_result(task.pk, one.plain),
        sha256=body.result_sha256,
        envelope=one.envelope,
        items=body.usage.items,
        tokens_in=body.usage.tokens_in,
        tokens_out=body.usage.tokens_out,
        duration_ms=body.duration_ms,
        fee=task.price,
        validation="shape" if job.purpose == Purpose.REQUEST else "known_answer",
        completed_at=now,
    )
