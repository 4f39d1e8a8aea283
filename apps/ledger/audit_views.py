"""The audit's pages: report, history, downloads, and the staff's button."""

import csv
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from apps.core.models import User
from apps.core.streams import attached
from apps.ledger import presentation_audit
from apps.ledger.audit.report import HEAD, table
from apps.ledger.errors import AuditRunning
from apps.ledger.models import AuditRun
from apps.ledger.tasks import ask_for_audit
from workers.protocol.clock import utcnow


@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    """What the newest audit found, how far the one under way is, and those before."""
    return render(request, "ledger/audit.html", presentation_audit.page(request.GET.get("page")))


@require_safe
def audit_live(request: HttpRequest) -> HttpResponse:
    """The same without the frame."""
    return render(request, "ledger/parts/audit_live.html", presentation_audit.page(request.GET.get("page")))


@require_safe
def audit_run(request: HttpRequest, run_id: int) -> HttpResponse:
    """One audit of the history."""
    run = get_object_or_404(AuditRun.objects.reported(), pk=run_id)
    return render(request, "ledger/audit_run.html", presentation_audit.report(run))


def _kept(run_id: int | None) -> tuple[AuditRun, dict[str, Any], str]:
    """An audit with its report, and what its files are called; the newest unless one is named."""
    runs = AuditRun.objects.reported()
    run = runs.filter(pk=run_id).first() if run_id is not None else runs.first()
    if run is None or run.report is None:
        raise Http404
    return run, run.report, f"audit-{run.at:%Y%m%dT%H%M%SZ}"


@require_safe
def audit_json(request: HttpRequest, run_id: int | None = None) -> HttpResponse:
    """A report as JSON, to keep."""
    _run, report, name = _kept(run_id)
    return JsonResponse(report, headers={"Content-Disposition": f'attachment; filename="{name}.json"'})


@require_safe
def audit_csv(request: HttpRequest, run_id: int | None = None) -> HttpResponse:
    """A report as a table: a row for each rule, and for each thing that breaks one."""
    _run, report, name = _kept(run_id)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    response = HttpResponse(content_type="text/csv; charset=utf-8", headers=headers)
    csv.writer(response).writerows([HEAD, *table(report["checks"])])
    return response


@require_safe
def audit_export(request: HttpRequest) -> HttpResponseBase:
    """The newest export of the ledger, for `mesh audit verify`."""
    export = presentation_audit.newest_export()
    if export is None:
        raise Http404
    return attached(request, export["path"], "application/zip")


@require_POST
def run_audit(request: HttpRequest) -> HttpResponse:
    """Ask for an audit; it runs in the ledger's queue, one at a time."""
    by = request.user
    if not (isinstance(by, User) and by.acts_as_staff):
        raise PermissionDenied
    try:
        ask_for_audit(by, utcnow())
    except AuditRunning as error:
        messages.warning(request, error.detail)
    else:
        messages.success(request, _("The audit is queued. This page shows how far it is, and its report."))
    return redirect("audit")
