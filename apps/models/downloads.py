"""Artifacts by their SHA-256, with ranges."""

import re
from asyncio import to_thread
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_safe

from apps.models import store

RANGE = re.compile(r"bytes=(\d+)-(\d*)")
PIECE = 2**20


def pieces(path: Path, start: int, end: int) -> Iterator[bytes]:
    """Bytes `start` to `end`, both included."""
    with path.open("rb") as file:
        file.seek(start)
        left = end - start + 1
        while left > 0 and (data := file.read(min(PIECE, left))):
            left -= len(data)
            yield data


async def pieces_async(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    """The same without holding up the loop. Given plain pieces, Django would gather the whole file in memory first."""
    reading = pieces(path, start, end)
    while data := await to_thread(next, reading, b""):
        yield data


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
