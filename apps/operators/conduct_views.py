"""The pages of a node's reputation and of the bans that concern an account."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.core.errors import MeshError
from apps.operators import appeals, reputation
from apps.operators.forms import AppealForm
from apps.operators.models import Node, ReputationChange, ReputationKind
from apps.operators.views import person
from workers.protocol.clock import utcnow

PER_PAGE = 50


@login_required
@require_GET
def node_reputation(request: HttpRequest, node_id: str) -> HttpResponse:
    """How a node's score came about: each change, the table of points, and what the score means."""
    node = get_object_or_404(Node.objects.visible_to(request.user).select_related("operator"), pk=node_id)
    changes = ReputationChange.objects.filter(node=node)
    kind = request.GET.get("kind", "")
    if kind in ReputationKind.values:
        changes = changes.filter(kind=kind)
    context = {
        "node": node,
        "page": Paginator(changes, PER_PAGE).get_page(request.GET.get("page")),
        "kinds": ReputationKind.choices,
        "kind": kind,
        "table": reputation.table(),
        "levels": reputation.levels(),
        **reputation.context(node),
    }
    return render(request, "operators/reputation.html", context)


@login_required
@require_GET
def my_bans(request: HttpRequest) -> HttpResponse:
    """The bans that concern the account, with what counts against it, and its appeals."""
    return render(
        request, "operators/bans.html", {"cases": appeals.cases_of(person(request), utcnow()), "form": AppealForm()}
    )


@login_required
@require_POST
def ban_appeal(request: HttpRequest, ban_id: str) -> HttpResponse:
    """Appeal against a ban that concerns the account."""
    user, now = person(request), utcnow()
    case = next((case for case in appeals.cases_of(user, now) if case.ban.pk == ban_id), None)
    if case is None:
        messages.error(request, _("There is no such ban of yours."))
        return redirect("bans")
    form = AppealForm(request.POST)
    if not form.is_valid():
        return render(request, "operators/bans.html", {"cases": appeals.cases_of(user, now), "form": form}, status=400)
    try:
        appeals.appeal(case.ban, user, form.cleaned_data["text"], now)
    except MeshError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, _("Your appeal was handed in. Staff answer here and by mail."))
    return redirect("bans")
