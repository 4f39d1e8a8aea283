"""The compute pool's own way to ask for work: dispatch a task, read its result. Both need an API key."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from apps.core.models import User
from apps.operators.authentication import ApiKeyAuthentication
from apps.operators.models import ApiKey, Scope
from apps.pool import kinds, submission, vault
from apps.pool.errors import InputRefused
from apps.pool.models import Result, Task, TaskStatus
from apps.pool.node_api.errors import KeyRequired, ScopeMissing, TaskUnknown
from apps.pool.node_api.facts import summary
from apps.pool.node_api.http import RESULTS, answer, body_of
from workers.protocol.clock import utcnow

FIELDS = {"task_type", "data", "requirements", "priority"}


def caller(request: HttpRequest, scope: str) -> User:
    """Whoever holds the request's API key; raises KeyRequired, ScopeMissing, or why the key is refused."""
    found: tuple[User, ApiKey] | None = ApiKeyAuthentication().authenticate(Request(request))
    if found is None:
        raise KeyRequired
    user, key = found
    if not key.allows({scope}):
        raise ScopeMissing
    return user


def dispatch(request: HttpRequest) -> HttpResponse:
    """`{task_type, data, requirements?, priority?}` → 201 `{task_id, job_id, assigned_node, status}`.

    `task_type` is a kind of job; `data` holds what it takes: model, and inputs or prompt. A job of one chunk. What a
    node must have follows from the model, so `requirements` may only say `{"gpu_type": "any"}`.
    """
    user = caller(request, Scope.JOBS_WRITE)
    now = utcnow()
    job = submission.submit(user, asked(body_of(request, RESULTS)), now)
    task = Task.objects.select_related("job").filter(job=job).order_by("index").first()
    if task is None:
        raise TaskUnknown
    return answer({**summary(task), "job_id": job.pk}, status=201)


def asked(body: dict[str, Any]) -> kinds.JobRequest:
    """The request as a job; raises InputRefused or KindUnknown."""
    data, requirements = body.get("data"), body.get("requirements") or {}
    kind, priority = body.get("task_type"), body.get("priority", 5)
    if not isinstance(data, dict) or not isinstance(requirements, dict) or set(body) - FIELDS:
        raise InputRefused(f"A dispatch has {', '.join(sorted(FIELDS))}; data and requirements are objects.")
    if not isinstance(kind, str) or not isinstance(priority, int) or not 0 <= priority <= 9:
        raise InputRefused("task_type names a kind of job, priority is 0 to 9, lower first.")
    found = kinds.get(kind)
    if isinstance(found, kinds.FromData):
        data = found.from_data(data)
    if requirements not in ({}, {"gpu_type": "any"}):
        raise kinds.refuse("requirements", "What a node must have follows from the model.")
    inputs, prompt, model = data.get("inputs", []), data.get("prompt", ""), data.get("model", "")
    if not isinstance(inputs, list) or not all(isinstance(i, str) for i in [*inputs, prompt, model]):
        raise InputRefused("data holds model, and inputs (a list of texts) or prompt.")
    options = data.get("options", {})
    if not isinstance(options, dict):
        raise InputRefused("options is an object.")
    return kinds.JobRequest(
        kind=kind,
        model=model,
        inputs=tuple(inputs),
        prompt=prompt,
        options=options,
        chunk_size=max(1, len(inputs)),
        priority=priority,
    )


def task_result(request: HttpRequest, task_id: str) -> HttpResponse:
    """The state of a task of one's own and, once it is completed, its result: 200; 202 while it is under way."""
    user = caller(request, Scope.JOBS_READ)
    task = Task.objects.select_related("job").filter(pk=task_id, job__requester=user).first()
    if task is None:
        raise TaskUnknown
    found = Result.objects.filter(pk=task_id).first()
    body: dict[str, Any] = {**summary(task), "result": None, "error": task.error_detail or None}
    if found is not None:
        plain = vault.open_result(found)
        body["result"] = shown(task.job.kind, plain)
        body["execution_ms"] = found.duration_ms
    under_way = found is None and task.status not in {TaskStatus.FAILED, TaskStatus.CANCELLED}
    return answer(body, status=202 if under_way else 200)


def shown(kind: str, plain: bytes) -> Any:
    """A chunk's result as JSON."""
    if kind == kinds.Embed.name:
        return {"vectors": kinds.Embed.vectors(plain).tolist()}
    return kinds.Generate.answer(plain)
