"""The artifact cache: verified, resumed, mended, evicted, shared."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from tests.workers.node.platform_double import Platform, platform_at_work
from workers.node.cache import ArtifactCache, ArtifactMismatch, CacheError

CONTENT = os.urandom(700_000)
HASH = sha256(CONTENT).hexdigest()


@pytest.fixture
def platform() -> Iterator[Platform]:
    with platform_at_work() as running:
        running.files["/model"] = CONTENT
        yield running


def cache(folder: Path, limit: int = 10**9) -> ArtifactCache:
    return ArtifactCache(folder / "cache", max_bytes=limit, timeout_s=5)


def fetch(
    it: ArtifactCache, platform: Platform, digest: str = HASH, path: str = "/model", size: int | None = None
) -> Path:
    return it.fetch(platform.url + path, digest, len(CONTENT) if size is None else size)


def test_a_file_is_fetched_once(platform: Platform, tmp_path: Path) -> None:
    it = cache(tmp_path)
    assert fetch(it, platform).read_bytes() == CONTENT
    assert fetch(it, platform).read_bytes() == CONTENT
    assert platform.requests == ["whole"]


def test_a_cut_download_goes_on_where_it_stopped(platform: Platform, tmp_path: Path) -> None:
    platform.cut_after = 300_000
    assert fetch(cache(tmp_path), platform).read_bytes() == CONTENT
    assert platform.requests[0] == "whole"
    assert len(platform.requests) == 3
    assert all(asked.startswith("bytes=") for asked in platform.requests[1:])


def test_a_process_that_was_killed_goes_on_too(platform: Platform, tmp_path: Path) -> None:
    it = cache(tmp_path)
    (it.folder / f".{HASH}.part").write_bytes(CONTENT[:400_000])
    assert fetch(it, platform).read_bytes() == CONTENT
    assert platform.requests == ["bytes=400000-"]


def test_a_partial_file_of_other_bytes_is_thrown_away(platform: Platform, tmp_path: Path) -> None:
    it = cache(tmp_path)
    (it.folder / f".{HASH}.part").write_bytes(b"x" * 400_000)
    assert fetch(it, platform).read_bytes() == CONTENT
    assert platform.requests == ["bytes=400000-", "whole"]


def test_a_file_that_rots_on_disk_is_fetched_anew(platform: Platform, tmp_path: Path) -> None:
    it = cache(tmp_path)
    path = fetch(it, platform)
    with path.open("r+b") as file:
        file.write(b"rot")
    assert fetch(it, platform).read_bytes() == CONTENT
    assert len(platform.requests) == 2


def test_bytes_with_another_hash_are_never_kept(platform: Platform, tmp_path: Path) -> None:
    it = cache(tmp_path)
    with pytest.raises(ArtifactMismatch):
        fetch(it, platform, digest="0" * 64)
    assert [p for p in it.folder.iterdir() if not p.name.endswith(".lock")] == []


def test_a_server_without_the_file_is_an_error(platform: Platform, tmp_path: Path) -> None:
    with pytest.raises(CacheError):
        fetch(cache(tmp_path), platform, path="/nothing")


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64])
def test_a_name_that_is_no_hash_is_refused(platform: Platform, tmp_path: Path, name: str) -> None:
    with pytest.raises(CacheError):
        fetch(cache(tmp_path), platform, digest=name)


def test_two_processes_fetch_it_once(platform: Platform, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: fetch(cache(tmp_path), platform), range(4)))
    assert len(set(paths)) == 1
    assert platform.requests == ["whole"]


def test_the_least_used_file_goes_when_the_cache_is_full(platform: Platform, tmp_path: Path) -> None:
    it = cache(tmp_path, limit=1_500_000)
    hashes = []
    for n in range(3):
        content = os.urandom(700_000)
        platform.files[f"/{n}"] = content
        hashes.append(sha256(content).hexdigest())
        path = fetch(it, platform, digest=hashes[n], path=f"/{n}")
        os.utime(path, (n, n))
    assert [it.path_of(h).exists() for h in hashes] == [False, True, True]
