"""The catalogue's pages."""

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from apps.models import presentation
from apps.models.models import Model


@require_safe
def models(request: HttpRequest) -> HttpResponse:
    """The catalogue, for everybody."""
    return render(request, "models/list.html", {"rows": presentation.rows()})


@require_safe
def model(request: HttpRequest, name: str) -> HttpResponse:
    """One model by its name or its id."""
    found = get_object_or_404(Model, Q(name=name) | Q(pk=name))
    return render(request, "models/detail.html", presentation.page(found))
