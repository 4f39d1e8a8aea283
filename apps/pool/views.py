"""Pages of jobs."""

import io
import json
from uuid import uuid4

import numpy as np
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.core.errors import MeshError
from apps.core.models import User
from apps.ledger import accounts
from apps.pool import cancel, presentation, receipts, results, submission
from apps.pool.forms import JobForm
from apps.pool.models import Job, TaskStatus
from workers.protocol.clock import utcnow

JOBS_PER_PAGE = 25


def person(request: HttpRequest) -> User:
    """Whoever is signed in; the pages ask for a login first."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def own_job(request: HttpRequest, job_id: str) -> Job:
    """A job that the user may see; 404 otherwise."""
    return get_object_or_404(Job.objects.requests().visible_to(request.user), pk=job_id)


@login_required
@require_GET
def jobs(request: HttpRequest) -> HttpResponse:
    """One's jobs, newest first."""
    return render(request, "pool/jobs.html", jobs_context(request))


@login_required
@require_GET
def jobs_live(request: HttpRequest) -> HttpResponse:
    """The table alone."""
    return render(request, "pool/parts/jobs.html", jobs_context(request))


def jobs_context(request: HttpRequest) -> dict[str, object]:
    """The page that the URL asks for, filtered by status."""
    mine = Job.objects.requests().filter(requester=person(request))
    chosen = request.GET.get("status", "")
    chosen = chosen if chosen in TaskStatus.values else ""
    wanted = mine.filter(status=chosen) if chosen else mine
    page = Paginator(wanted.order_by("-created_at"), JOBS_PER_PAGE).get_page(request.GET.get("page"))
    return {"page": page, "chosen": chosen, "statuses": TaskStatus.choices, "any": bool(chosen) or mine.exists()}


@login_required
def new_job(request: HttpRequest) -> HttpResponse:
    """Describe a job, see its price, submit it once."""
    user = person(request)
    initial = {"idempotency_key": uuid4().hex, "model": request.GET.get("model", "")}
    form = JobForm(request.POST or None, request.FILES or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        key = form.cleaned_data["idempotency_key"] or None
        try:
            job = submission.submit(user, form.request(), utcnow(), idempotency_key=key)
        except MeshError as refusal:
            form.refuse(refusal)
        else:
            return redirect("job_detail", job_id=job.pk)
    return render(request, "pool/new.html", {"form": form, "balance_units": accounts.balance(user)})


@login_required
@require_POST
def quote(request: HttpRequest) -> HttpResponse:
    """Price and feasibility of what the form says now; nothing is held."""
    form = JobForm(request.POST, request.FILES)
    context: dict[str, object] = {"balance_units": accounts.balance(person(request))}
    if form.is_valid():
        try:
            context["quote"] = submission.quote(form.request(), utcnow())
        except MeshError as refusal:
            context["refusal"] = refusal.detail
    else:
        context["refusal"] = " ".join(str(words) for errors in form.errors.values() for words in errors)
    return render(request, "pool/parts/quote.html", context)


@login_required
@require_GET
def job_detail(request: HttpRequest, job_id: str) -> HttpResponse:
    """One job, live."""
    return render(request, "pool/job.html", presentation.detail(own_job(request, job_id)))


@login_required
@require_GET
def job_live(request: HttpRequest, job_id: str) -> HttpResponse:
    """The changing part alone."""
    return render(request, "pool/parts/job.html", presentation.detail(own_job(request, job_id)))


@login_required
@require_POST
def job_cancel(request: HttpRequest, job_id: str) -> HttpResponse:
    """Take back the chunks that nobody has started."""
    job = own_job(request, job_id)
    count = cancel.cancel(job.pk, person(request), utcnow())
    messages.info(
        request, _("%(n)d chunks taken back.") % {"n": count} if count else _("Every chunk had started already.")
    )
    return redirect("job_detail", job_id=job.pk)


@login_required
@require_GET
def job_result(request: HttpRequest, job_id: str) -> HttpResponse:
    """The joined result: vectors as .npy, text as .txt."""
    job = own_job(request, job_id)
    if job.kind == "generate":
        answer = HttpResponse(results.text(job), content_type="text/plain; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="{job.pk}.txt"'
        return answer
    buffer = io.BytesIO()
    np.save(buffer, results.vectors(job))
    answer = HttpResponse(buffer.getvalue(), content_type="application/octet-stream")
    answer["Content-Disposition"] = f'attachment; filename="{job.pk}.npy"'
    return answer


@login_required
@require_GET
def job_receipt(request: HttpRequest, job_id: str) -> HttpResponse:
    """The signed receipt, as `mesh verify` takes it."""
    job = own_job(request, job_id)
    answer = JsonResponse(receipts.receipt(job), json_dumps_params={"indent": 1}, encoder=json.JSONEncoder)
    answer["Content-Disposition"] = f'attachment; filename="{job.pk}.receipt.json"'
    return answer
