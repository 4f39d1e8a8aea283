"""Artifacts by their SHA-256, with ranges."""

import re

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_safe

from apps.core.streams import pieces, pieces_async
from apps.models import store

RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@require_safe
def artifact(request: HttpRequest, sha256: str) -> HttpResponseBase:
    """A file that never changes: its name is its hash. One range a request, so that a download can resume."""
    path = store.open_path(sha256)
    size = path.stat().st_size
    tag = f'"{sha256}"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponse(status=304, headers={"ETag": tag})
    start, end, status = 0, size - 1, 200
    wanted = RANGE.fullmatch(request.headers.get("Range", ""))
    if wanted is not None:
        start, status = int(wanted[1]), 206
        end = min(int(wanted[2]) if wanted[2] else end, end)
        if start >= size or end < start:
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    reader = pieces_async if isinstance(request, ASGIRequest) else pieces
    response = StreamingHttpResponse(reader(path, start, end), status=status, content_type="application/octet-stream")
    if status == 206:
        response["Content-Range"] = f"bytes {start}-{end}/{size}"
    response["Content-Length"] = str(end - start + 1)
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = tag
    response["Cache-Control"] = "public, max-age=31536000, immutable"
    return response
