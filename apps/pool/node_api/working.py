"""Work over HTTP: claiming it, saying that it runs, giving it back, and its results."""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from apps.core.errors import MeshError
from apps.operators.models import Node, NodeStatus
from apps.pool import broker, completion, dispatch, hints, leases, sealing
from apps.pool.node_api.errors import BodyMalformed, KeyRetired, NodeSuspended, NodeUnknown, TaskMismatch
from apps.pool.node_api.http import RESULTS, answer, body_of, envelope_of
from apps.pool.node_api.keys import open_from_node
from apps.pool.take import Assignment, LaneBusy, take, worth_taking
from workers.protocol.clock import utcnow
from workers.protocol.envelope import Envelope
from workers.protocol.errors import ProtocolError
from workers.protocol.keys import unb64
from workers.protocol.messages import TaskClaim, TaskHandback, TaskResult, TaskStarted

Refusal = MeshError | ProtocolError
logger = logging.getLogger(__name__)
LONGEST_WAIT_S = 25.0
LOOK_EVERY_S = 1.0
BUSY_S = 0.05
MOST_AT_ONCE = 16
MOST_RESULTS = 100
# Waiting claims occupy threads that others need: beyond this many in a process, a claim is answered at once.
_waiting = threading.BoundedSemaphore(8)


class PostedResult(msgspec.Struct, forbid_unknown_fields=True):
    """One result as it is posted: a DSSE task.result, and the sealed bytes in base64."""

    envelope: dict[str, Any]
    sealed: str


def node_of(envelope: Envelope) -> Node:
    """The sender's row. Raises KeyRetired, or NodeSuspended: neither its work nor its word counts until it is back."""
    node = Node.objects.select_related("operator__user").filter(pk=envelope.sender).first()
    if node is None:
        raise NodeUnknown
    if node.kid != envelope.kid:
        raise KeyRetired
    if node.status == NodeStatus.SUSPENDED:
        raise NodeSuspended
    return node


def claim(request: HttpRequest) -> HttpResponse:
    """A DSSE `task.claim` with `?wait=<seconds>` → `{"tasks": [DSSE task.run, …]}`, empty if none came meanwhile."""
    raw, now = envelope_of(request), utcnow()
    wait_s = wait_of(request)
    envelope, body = open_from_node(raw, TaskClaim, now)
    if body.lane not in broker.LANES:
        raise BodyMalformed(f"A lane is one of {', '.join(broker.LANES)}.")
    node = node_of(envelope)
    if node.transport == Node.Transport.CELERY:
        leave_broker(node, now)
    return answer({"tasks": wait_for_tasks(node, body.lane, min(body.max, MOST_AT_ONCE), wait_s)})


def wait_of(request: HttpRequest) -> float:
    """How long the caller waits, in seconds."""
    try:
        return max(0.0, min(float(request.GET.get("wait", "0")), LONGEST_WAIT_S))
    except ValueError as error:
        raise BodyMalformed("wait is a number of seconds.") from error


def leave_broker(node: Node, now: datetime) -> None:
    """A node that claims over HTTP does not read its queues: what is there is taken back."""
    Node.objects.filter(pk=node.pk).update(transport=Node.Transport.HTTP)
    leases.release_node(node.pk, "The node takes its work over HTTP now.", now, counted=False)
    try:
        broker.purge(node.pk)
    except RedisError as error:
        logger.warning("Queues were not purged", extra={"node": node.pk, "error": str(error)[:200]})


def wait_for_tasks(node: Node, lane: str, most: int, wait_s: float) -> list[dict[str, Any]]:
    """Take now, or as soon as a hint comes; hints may be lost, so it looks every second all the same."""
    if wait_s <= 0 or not _waiting.acquire(blocking=False):
        return sealed(take(node.pk, lane, most, utcnow()), node)
    try:
        with closing(hints.Hearing(node.pk)) as hearing:
            return sealed(awaited(node, lane, most, time.monotonic() + wait_s, hearing), node)
    finally:
        _waiting.release()


def awaited(node: Node, lane: str, most: int, end: float, hearing: hints.Hearing) -> list[Assignment]:
    """What the lane gets until `end`, in seconds of the monotonic clock.

    Many claims may wait, of one node and of others, and every submission wakes them all: each looks first, which is
    cheap, and never stands in line behind another claim of its lane.
    """
    never = threading.Event()
    while True:
        pause = LOOK_EVERY_S
        try:
            if worth_taking(node.pk, lane) and (taken := take(node.pk, lane, most, utcnow(), queue_up=False)):
                return taken
        except LaneBusy:
            pause = BUSY_S
        if (left := end - time.monotonic()) <= 0:
            return []
        hearing.wait(min(left, pause), never)


def sealed(taken: list[Assignment], node: Node) -> list[dict[str, Any]]:
    """Tasks for the node, signed and sealed."""
    now = utcnow()
    return [sealing.task_envelope(assignment, node, now) for assignment in taken]


def started(request: HttpRequest, task_id: str) -> HttpResponse:
    """A DSSE `task.started` → `{"status": running | superseded | cancelled}`; only `running` may go on."""
    raw, now = envelope_of(request), utcnow()
    envelope, body = open_from_node(raw, TaskStarted, now)
    if body.task != task_id:
        raise TaskMismatch
    return answer({"status": completion.started(task_id, body.attempt, node_of(envelope), now)})


def handback(request: HttpRequest) -> HttpResponse:
    """A DSSE `task.handback` → `{"status": pending | superseded | cancelled}`."""
    raw, now = envelope_of(request), utcnow()
    envelope, body = open_from_node(raw, TaskHandback, now)
    return answer({"status": completion.hand_back(body.task, body.attempt, node_of(envelope), body.reason, now)})


def result(request: HttpRequest, task_id: str) -> HttpResponse:
    """`{"envelope": DSSE task.result, "sealed": base64}` → `{"status"}`: completed, duplicate, superseded, cancelled,
    or failed where the attempt came to nothing."""
    [outcome] = accept([body_of(request, RESULTS)], utcnow(), task_id)
    if not isinstance(outcome, str):
        raise outcome
    return answer({"status": outcome})


def results(request: HttpRequest) -> HttpResponse:
    """`{"results": [...]}`, up to a hundred → one entry each, in order: `{"status"}` or `{"code", "detail"}`."""
    batch = body_of(request, RESULTS).get("results")
    if not isinstance(batch, list) or not 1 <= len(batch) <= MOST_RESULTS:
        raise BodyMalformed(f"A batch has 1 to {MOST_RESULTS} results.")
    return answer({"results": [told(outcome) for outcome in accept(batch, utcnow())]})


def told(outcome: str | Refusal) -> dict[str, str]:
    """What a batch says of one of its results."""
    return {"status": outcome} if isinstance(outcome, str) else {"code": outcome.code, "detail": outcome.detail}


def accept(posted: Sequence[Any], now: datetime, task_id: str | None = None) -> list[str | Refusal]:
    """Open and complete results; each one's outcome or refusal, which is its own, in its place.

    No replay guard: a result counts once by (task, attempt, node), and nodes send it again until they have an answer.
    """
    found: dict[int, str | Refusal] = {}
    opened: dict[tuple[str, str], dict[int, completion.Answer]] = {}
    for place, item in enumerate(posted):
        try:
            one = opened_result(item, now, task_id)
        except (MeshError, ProtocolError) as refusal:
            found[place] = refusal
        else:
            opened.setdefault((one.envelope.sender, one.envelope.kid), {})[place] = one
    for answers in opened.values():
        found.update(zip(answers, completed(list(answers.values()), now), strict=True))
    return [found[place] for place in range(len(posted))]


def opened_result(item: Any, now: datetime, task_id: str | None) -> completion.Answer:
    """A posted result whose signature holds. Raises BodyMalformed, TaskMismatch, or a ProtocolError."""
    try:
        posted = msgspec.convert(item, PostedResult)
    except msgspec.ValidationError as error:
        raise BodyMalformed(str(error)) from error
    envelope, body = open_from_node(posted.envelope, TaskResult, now, durable=False)
    if task_id is not None and body.task != task_id:
        raise TaskMismatch
    return completion.Answer(envelope, unb64(posted.sealed))


def completed(answers: Sequence[completion.Answer], now: datetime) -> Sequence[str | Refusal]:
    """Complete the answers of one node, all signed with one key, and give it its next tasks."""
    try:
        node = node_of(answers[0].envelope)
    except MeshError as refusal:
        return [refusal] * len(answers)
    on_socket = node.transport == Node.Transport.SOCKET
    outcomes = completion.complete_many(answers, node, now, wake=on_socket)
    # Its slots are free again. Should this fail, the dispatcher's next round does it.
    if node.transport == Node.Transport.CELERY:
        dispatch.refill(node, utcnow())
    elif not on_socket:
        hints.wake_node(node.pk)
    return outcomes
