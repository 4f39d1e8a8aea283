"""Installing a node: the page for everybody, and its files as plain text, readable before they run."""

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.operators import installing, wheel

TEXT = "text/plain; charset=utf-8"


@require_safe
def install(request: HttpRequest) -> HttpResponse:
    """The three ways of installing, each with its checksum."""
    return render(request, "operators/install.html", installing.context())


@require_safe
def install_file(request: HttpRequest, name: str) -> HttpResponseBase:
    """One file: a document as text, the sums, or the wheel."""
    if name == installing.SUMS:
        return HttpResponse(installing.sums(), content_type=TEXT)
    if name == installing.GUIDE:
        return HttpResponse(installing.guide(), content_type=TEXT)
    if name in installing.DOCUMENTS:
        found = installing.document(name)
        return HttpResponse(found.text, content_type=TEXT, headers={"ETag": f'"{found.sha256}"'})
    packed = wheel.current()
    if name != packed.name:
        raise Http404
    response = FileResponse(packed.path.open("rb"), as_attachment=True, filename=packed.name)
    response["ETag"] = f'"{packed.sha256}"'
    return response
