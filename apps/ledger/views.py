"""The explorer: transfers, blocks and the audit, for everybody."""

from functools import partial

from django.contrib import messages
from django.contrib.auth.decorators import user_passes_test
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from apps.ledger import audit as audits
from apps.ledger import presentation
from apps.ledger.errors import AuditRunning
from apps.ledger.models import AuditRun, Block, Transfer
from apps.ledger.tasks import audit_ledger
from workers.protocol.clock import utcnow
from workers.protocol.ids import parse_uuid


@require_safe
def ledger(request: HttpRequest) -> HttpResponse:
    """Figures, the newest blocks, and the transfers that the address asks for."""
    return render(request, "ledger/ledger.html", presentation.overview(request.GET, request.user))


@require_safe
def ledger_live(request: HttpRequest) -> HttpResponse:
    """The same without the frame, for a page that watches."""
    return render(request, "ledger/parts/ledger_live.html", presentation.overview(request.GET, request.user))


@require_safe
def transfer(request: HttpRequest, transfer_id: str) -> HttpResponse:
    """One transfer by its `txn_…` id."""
    try:
        key = parse_uuid("txn", transfer_id)
    except ValueError:
        raise Http404 from None
    found = get_object_or_404(Transfer.objects.select_related("debit", "credit", "sealing"), pk=key)
    return render(request, "ledger/transfer.html", presentation.transfer(found))


@require_safe
def block(request: HttpRequest, height: int) -> HttpResponse:
    """One block by its height."""
    found = get_object_or_404(Block, pk=height)
    return render(request, "ledger/block.html", presentation.block(found, request.GET.get("page")))


@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    """What the newest audit found."""
    return render(request, "ledger/audit.html", presentation.audit(AuditRun.objects.reported().first()))


@require_safe
def audit_live(request: HttpRequest) -> HttpResponse:
    """The same without the frame."""
    return render(request, "ledger/parts/audit_live.html", presentation.audit(AuditRun.objects.reported().first()))


@require_safe
def audit_json(request: HttpRequest) -> HttpResponse:
    """The newest audit's report, to keep."""
    run = AuditRun.objects.reported().first()
    if run is None:
        raise Http404
    name = f"audit-{run.at:%Y%m%dT%H%M%SZ}.json"
    return JsonResponse(run.report, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@require_POST
@user_passes_test(lambda user: user.is_staff)
def run_audit(request: HttpRequest) -> HttpResponse:
    """Ask for an audit; it runs in the ledger's queue, one at a time."""
    try:
        asked = audits.begin(utcnow(), request.user)  # type: ignore[arg-type]
    except AuditRunning as error:
        messages.warning(request, error.detail)
    else:
        transaction.on_commit(partial(audit_ledger.delay, asked.pk))
        messages.success(request, _("The audit is queued. This page shows its report once it is done."))
    return redirect("audit")
