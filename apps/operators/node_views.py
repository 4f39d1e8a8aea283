"""The page of one node, and what its owner does to it."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.core.errors import MeshError
from apps.operators import limits, node_presentation, nodes
from apps.operators.models import Node
from apps.operators.node_errors import ConfirmationMissing
from apps.operators.node_forms import LimitsForm
from apps.operators.views import person
from workers.protocol.clock import utcnow


def own_node(request: HttpRequest, node_id: str) -> Node:
    """The node, where the user may see its insides; 404 otherwise."""
    return get_object_or_404(Node.objects.visible_to(request.user).select_related("operator__user"), pk=node_id)


@login_required
@require_GET
def node_detail(request: HttpRequest, node_id: str) -> HttpResponse:
    """One node: state, reason, next step, time online, earnings, limits, lanes, keys, log."""
    node = own_node(request, node_id)
    return render(request, "operators/node.html", page_of(request, node, LimitsForm.of(node, None)))


def page_of(request: HttpRequest, node: Node, form: LimitsForm) -> dict[str, Any]:
    """All of the page."""
    log = node_presentation.log_of(node, request.GET)
    context = node_presentation.node_context(node, utcnow())
    return {**context, **node_presentation.limits_context(node), **log, "form": form}


@login_required
@require_GET
def node_live(request: HttpRequest, node_id: str) -> HttpResponse:
    """The changing part alone."""
    context = node_presentation.node_context(own_node(request, node_id), utcnow())
    return render(request, "operators/parts/node.html", context)


@login_required
@require_POST
def node_limits(request: HttpRequest, node_id: str) -> HttpResponse:
    """Set what the machine is kept from; the agent on it obeys."""
    node = own_node(request, node_id)
    form = LimitsForm.of(node, request.POST)
    if not form.is_valid():
        return render(request, "operators/node.html", page_of(request, node, form), status=400)
    try:
        limits.set_limits(node, form.limits(), actor=person(request), now=utcnow())
    except MeshError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, _("Set. The node is told at once, or with its next heartbeat."))
    return redirect("node_detail", node_id=node.pk)


@login_required
@require_POST
def node_action(request: HttpRequest, node_id: str, action: str) -> HttpResponse:
    """Drain, resume or revoke."""
    node = own_node(request, node_id)
    try:
        moved = act(request, node, action)
    except MeshError as error:
        messages.error(request, error.detail)
    else:
        if not moved:
            messages.error(request, _("The node changed its state meanwhile; nothing was done."))
    return redirect("node_detail", node_id=node.pk)


def act(request: HttpRequest, node: Node, action: str) -> bool:
    """Do it; a revocation needs the node's name, typed. Raises ConfirmationMissing or NodeMoveRefused."""
    now = utcnow()
    if action == "drain":
        return nodes.drain(node, now=now)
    if action == "resume":
        return nodes.resume(node, now=now)
    if request.POST.get("name", "").strip() != node.name:
        raise ConfirmationMissing
    return nodes.revoke(node, reason=_("Revoked by %(who)s.") % {"who": person(request)}, now=now)
