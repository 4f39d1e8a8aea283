"""Files sent piece by piece, whichever kind of server asks."""

from asyncio import to_thread
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

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


def attached(request: HttpRequest, path: Path, content_type: str) -> StreamingHttpResponse:
    """A whole file to keep, under its name."""
    size = path.stat().st_size
    reader = pieces_async if isinstance(request, ASGIRequest) else pieces
    response = StreamingHttpResponse(reader(path, 0, size - 1), content_type=content_type)
    response["Content-Length"] = str(size)
    response["Content-Disposition"] = f'attachment; filename="{path.name}"'
    return response
