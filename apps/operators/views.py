"""The pages of applying and of one's own nodes."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render, resolve_url
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.core.errors import MeshError
from apps.core.models import User
from apps.ledger import amounts
from apps.operators import applications, earnings, enrolment, installing, places, presentation, stakes
from apps.operators.forms import ApplicationForm, NodeNameForm
from apps.operators.models import EnrolmentToken, Operator
from apps.operators.wallet_errors import EmailMissing
from workers.protocol.clock import utcnow

FORM_METHODS = ["GET", "HEAD", "POST"]


def person(request: HttpRequest) -> User:
    """Whoever is signed in; the pages that call this ask for a login first."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


@login_required
@require_http_methods(FORM_METHODS)
def apply(request: HttpRequest) -> HttpResponse:
    """Apply, see how the application stands, and do the next step."""
    user = person(request)
    context = apply_context(user)
    application, can_apply = context["application"], context["way"].can_apply
    form = ApplicationForm.of(application, request.POST or None, request.FILES) if can_apply else None
    if request.method == "POST" and form is None:
        messages.info(request, _("Your application was handed in before."))
        return redirect("apply")
    if form is not None and request.method == "POST" and keep(request, user, form):
        return redirect(f"{resolve_url('apply')}#application" if "read" in request.POST else "apply")
    return render(request, "operators/apply.html", {**context, "form": form, "tiers": places.table()})


def apply_context(user: User) -> dict[str, Any]:
    """The stepper, what stands next, and how long a review takes."""
    context = presentation.way_context(user)
    return {**context, **applications.queue_context(context["application"], utcnow())}


def keep(request: HttpRequest, user: User, form: ApplicationForm) -> bool:
    """Hand the application in, or save it as a draft; False where fields have to be mended first."""
    valid = form.is_valid()
    if form.problem:
        return False
    if form.was_read or "draft" in request.POST:
        applications.save_draft(user, form.draft(), utcnow())
    if "draft" in request.POST:
        messages.success(request, _("Saved. Nobody reviews it before you hand it in."))
    elif "read" in request.POST and form.was_read:
        messages.success(request, _("The report was read; its values stand in the form."))
    elif "read" in request.POST:
        form.add_error("probe", _("Paste the report, or choose it as a file."))
        return False
    elif valid and not user.email:
        form.add_error(None, EmailMissing().detail)
        return False
    elif valid:
        applications.submit(user, form.application(), utcnow())
        messages.success(request, _("Handed in. We write to you when it has been reviewed."))
    else:
        return False
    return True


@login_required
@require_GET
def apply_live(request: HttpRequest) -> HttpResponse:
    """How the application stands, without the frame and the form."""
    return render(request, "operators/parts/way.html", apply_context(person(request)))


@login_required
@require_GET
def stages_live(request: HttpRequest) -> HttpResponse:
    """The stepper alone."""
    return render(request, "operators/parts/stages.html", presentation.way_context(person(request)))


@login_required
@require_POST
def stake(request: HttpRequest) -> HttpResponse:
    """Lock the tier's stake."""
    operator = get_object_or_404(Operator, user=person(request))
    try:
        locked = stakes.lock(operator, utcnow())
    except MeshError as error:
        messages.error(request, error.detail)
        return redirect("apply")
    words = _("%(amount)s MESH are locked. Now install your node.")
    messages.success(request, words % {"amount": amounts.show(locked.amount)})
    return redirect("node_register")


@login_required
@require_GET
def my_nodes(request: HttpRequest) -> HttpResponse:
    """All of one's nodes."""
    return render(request, "operators/nodes.html", presentation.nodes_context(person(request), utcnow()))


@login_required
@require_GET
def my_nodes_live(request: HttpRequest) -> HttpResponse:
    """The changing part alone."""
    return render(request, "operators/parts/nodes.html", presentation.nodes_context(person(request), utcnow()))


@login_required
@never_cache
@require_http_methods(FORM_METHODS)
def register(request: HttpRequest) -> HttpResponse:
    """Make a one-use token and show, this once, the one command that uses it."""
    context = presentation.way_context(person(request))
    operator: Operator | None = context["operator"]
    if operator is None or not context["way"].has_stake:
        messages.info(request, _("Apply first, and lock the stake once you are approved."))
        return redirect("apply")
    form = NodeNameForm(request.POST or None)
    context["estimate"] = earnings.estimate(operator, None, utcnow())
    if request.method == "POST" and form.is_valid():
        context |= made_token(operator, form)
    return render(request, "operators/register.html", {**context, "form": form})


def made_token(operator: Operator, form: NodeNameForm) -> dict[str, Any]:
    """A new token and the page's part that waits for its node; what refuses it stands at the form's field."""
    now, name = utcnow(), form.cleaned_data["name"]
    try:
        token = enrolment.issue_token(operator, name, now)
    except MeshError as error:
        form.add_error("name", error.detail)
        return {}
    row = enrolment.find_token(token, now)
    ways = installing.context(enrolment.join_command(token, name))
    return {"token": token, **ways, **presentation.waiting(row, now)}


@login_required
@require_GET
def register_waiting(request: HttpRequest, token_id: str) -> HttpResponse:
    """Whether the node of one's token has arrived."""
    tokens = EnrolmentToken.objects.select_related("node").filter(operator__user=person(request))
    context = presentation.waiting(get_object_or_404(tokens, pk=token_id), utcnow())
    return render(request, "operators/parts/waiting.html", context)
