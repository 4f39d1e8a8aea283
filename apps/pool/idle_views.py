"""The page that says why a node was idle."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from apps.operators.models import Node
from apps.pool import idle
from workers.protocol.clock import utcnow


@login_required
@require_GET
def node_idle(request: HttpRequest, node_id: str) -> HttpResponse:
    """The last hundred tasks that the node missed, by reason; 404 for other people's nodes."""
    own = Node.objects.visible_to(request.user).select_related("operator__user")
    node = get_object_or_404(own, pk=node_id)
    return render(request, "pool/idle.html", idle.context(node, utcnow(), request.GET.get("reason", "")))
