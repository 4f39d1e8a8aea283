"""Downloads of artifacts: whole, in ranges, without gathering a file in memory."""

import os
from hashlib import sha256
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

from apps.core.streams import PIECE
from apps.models import store
from workers.protocol.clock import utcnow

pytestmark = pytest.mark.django_db
CONTENT = os.urandom(2 * PIECE + 500)
URL = f"/api/v1/artifacts/{sha256(CONTENT).hexdigest()}"


@pytest.fixture
def _stored(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    store.put(tmp_path / "file", utcnow())


@pytest.mark.usefixtures("_stored")
@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-", 0, None), ("bytes=5-9", 5, 10), (f"bytes={PIECE}-", PIECE, None), ("bytes=7-99999999", 7, None)],
)
def test_a_range_is_those_bytes(client: Client, asked: str, start: int, end: int | None) -> None:
    answer = client.get(URL, headers={"Range": asked})
    part = CONTENT[start:end]
    assert answer.status_code == 206
    assert b"".join(answer.streaming_content) == part  # type: ignore[arg-type]
    assert answer["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/{len(CONTENT)}"
    assert answer["Content-Length"] == str(len(part))


@pytest.mark.usefixtures("_stored")
@pytest.mark.parametrize("asked", ["bytes=-5", "bytes=1-2,4-5", "lines=1-2", ""])
def test_what_is_no_single_range_gives_the_whole_file(client: Client, asked: str) -> None:
    answer = client.get(URL, headers={"Range": asked})
    assert answer.status_code == 200
    assert b"".join(answer.streaming_content) == CONTENT  # type: ignore[arg-type]


@pytest.mark.usefixtures("_stored")
@pytest.mark.parametrize("asked", [f"bytes={len(CONTENT)}-", "bytes=9-5"])
def test_a_range_beyond_the_file_is_refused(client: Client, asked: str) -> None:
    answer = client.get(URL, headers={"Range": asked})
    assert (answer.status_code, answer["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")


@pytest.mark.usefixtures("_stored")
def test_on_the_asgi_site_a_file_comes_in_pieces() -> None:
    async def download() -> list[bytes]:
        answer = await AsyncClient().get(URL, headers={"Range": "bytes=100-"})
        assert answer.is_async
        return [piece async for piece in answer.streaming_content]  # type: ignore[union-attr]

    got = async_to_sync(download)()
    assert b"".join(got) == CONTENT[100:]
    assert max(map(len, got)) <= PIECE


@pytest.mark.usefixtures("_stored")
def test_a_file_that_was_lost_from_the_store_is_unknown(client: Client) -> None:
    store.path_of(sha256(CONTENT).hexdigest()).unlink()
    assert client.get(URL).status_code == 404


@pytest.mark.usefixtures("_stored")
def test_nobody_writes_to_an_artifact(client: Client) -> None:
    assert client.post(URL, b"x", content_type="application/octet-stream").status_code in {403, 405}
