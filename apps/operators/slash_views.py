"""The page of a slash, and the appeal against it."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.core.errors import MeshError
from apps.core.models import User
from apps.operators import slash_appeals, slash_presentation
from apps.operators.models import SlashCase
from apps.operators.money_forms import SlashAppealForm
from apps.operators.views import person
from workers.protocol.clock import utcnow
from workers.protocol.ids import parse_uuid


def case_of(user: User, slash_id: str) -> SlashCase:
    """A slash of the user's own stake; not found for everybody else."""
    try:
        key: UUID = parse_uuid("sls", slash_id)
    except ValueError:
        raise Http404 from None
    case = SlashCase.objects.whole().of(user).filter(pk=key).first()
    if case is None:
        raise Http404
    return case


@login_required
@require_GET
def slash(request: HttpRequest, slash_id: str) -> HttpResponse:
    """What was slashed for what, until when one can appeal, and what came of it."""
    user = person(request)
    context = slash_presentation.case_context(user, case_of(user, slash_id), utcnow())
    return render(request, "operators/slash.html", {**context, "form": SlashAppealForm()})


@login_required
@require_POST
def slash_appeal(request: HttpRequest, slash_id: str) -> HttpResponse:
    """Appeal against a slash of one's own stake."""
    user, now = person(request), utcnow()
    case = case_of(user, slash_id)
    form = SlashAppealForm(request.POST)
    if not form.is_valid():
        context = slash_presentation.case_context(user, case, now)
        return render(request, "operators/slash.html", {**context, "form": form}, status=400)
    try:
        slash_appeals.appeal(case.pk, user, form.cleaned_data["text"], now)
    except MeshError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, _("Your appeal was handed in. Staff answer here and by mail."))
    return redirect("slash", slash_id=case.public_id)
