"""Artifacts by their SHA-256, with ranges, and the catalogue's pages."""

import re
from collections.abc import Iterator
from pathlib import Path

from django.db.models import Q
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from apps.models import presentation, store
from apps.models.models import Model

RANGE = re.compile(r"bytes=(\d+)-(\d*)")
PIECE = 256 * 1024


def piece(path: Path, start: int, end: int) -> Iterator[bytes]:
    """Bytes `start` to `end`, both included."""
    with path.open("rb") as file:
        file.seek(start)
        left = end - start + 1
        while left > 0 and (data := file.read(min(PIECE, left))):
            left -= len(data)
            yield data


@require_safe
def artifact(request: HttpRequest, sha256: str) -> HttpResponseBase:
    """A file that never changes: its name is its hash. One range a request, so that a download can resume."""
    path = store.open_path(sha256)
    size = path.stat().st_size
    tag = f'"{sha256}"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponse(status=304)
    response: HttpResponseBase
    wanted = RANGE.fullmatch(request.headers.get("Range", ""))
    if wanted is None:
        response = FileResponse(path.open("rb"), content_type="application/octet-stream")
        response["Content-Length"] = str(size)
    else:
        start = int(wanted[1])
        end = min(int(wanted[2]) if wanted[2] else size - 1, size - 1)
        if start >= size or end < start:
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
        body = piece(path, start, end)
        response = StreamingHttpResponse(body, status=206, content_type="application/octet-stream")
        response["Content-Range"] = f"bytes {start}-{end}/{size}"
        response["Content-Length"] = str(end - start + 1)
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = tag
    response["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


@require_safe
def models(request: HttpRequest) -> HttpResponse:
    """The catalogue, for everybody."""
    return render(request, "models/list.html", {"rows": presentation.rows()})


@require_safe
def model(request: HttpRequest, name: str) -> HttpResponse:
    """One model by its name or its id."""
    found = get_object_or_404(Model, Q(name=name) | Q(pk=name))
    return render(request, "models/detail.html", presentation.page(found))
