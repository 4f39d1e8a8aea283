"""The artifact cache: verified, resumed, mended, evicted, shared."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
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


def no_pause(_: float) -> None:
    """Tests do not wait."""


def cache(folder: Path, limit: int = 10**9) -> ArtifactCache:
    return ArtifactCache(folder / "cache", max_bytes=limit, timeout_s=5, sleep=no_pause)


def until(true: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("It did not happen within 30 s.")


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


def test_a_process_that_was_killed_goes_on_where_it_was(platform: Platform, tmp_path: Path) -> None:
    platform.stall_after = 400_000
    fetching = (
        "import sys; from pathlib import Path; from workers.node.cache import ArtifactCache; "
        "ArtifactCache(Path(sys.argv[1]), max_bytes=10**9).fetch(sys.argv[2], sys.argv[3], int(sys.argv[4]))"
    )
    arguments = [str(tmp_path / "cache"), f"{platform.url}/model", HASH, str(len(CONTENT))]
    process = subprocess.Popen([sys.executable, "-c", fetching, *arguments])
    part = tmp_path / "cache" / f".{HASH}.part"
    until(lambda: part.exists() and part.stat().st_size > 0)
    process.kill()
    process.wait()
    have = part.stat().st_size
    platform.stall_after = None
    assert fetch(cache(tmp_path), platform).read_bytes() == CONTENT
    assert platform.requests == ["whole", f"bytes={have}-"]


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


def test_a_server_without_the_file_is_asked_once(platform: Platform, tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="404"):
        fetch(cache(tmp_path), platform, path="/nothing")
    assert len(platform.requests) == 1


def test_a_server_that_is_down_is_asked_again_with_growing_pauses(tmp_path: Path) -> None:
    pauses: list[float] = []
    it = ArtifactCache(tmp_path / "cache", max_bytes=1, timeout_s=1, sleep=pauses.append)
    with pytest.raises(CacheError):
        it.fetch("http://127.0.0.1:9/model", HASH, 5)
    assert pauses == sorted(set(pauses))
    assert len(pauses) == 5


def test_a_download_that_is_cut_often_but_grows_is_not_given_up(platform: Platform, tmp_path: Path) -> None:
    platform.cut_after = 70_000
    assert fetch(cache(tmp_path), platform).read_bytes() == CONTENT
    assert len(platform.requests) == 10


def test_a_file_larger_than_announced_is_not_taken(platform: Platform, tmp_path: Path) -> None:
    with pytest.raises(ArtifactMismatch):
        fetch(cache(tmp_path), platform, size=len(CONTENT) - 1)


def test_a_file_that_was_verified_is_not_read_again(platform: Platform, tmp_path: Path) -> None:
    it = cache(tmp_path)
    path = fetch(it, platform)
    for _ in range(3):
        before = path.stat().st_atime_ns, path.stat().st_ctime_ns
        os.utime(it.folder / f".{HASH}.ok", (1, 1))
        assert fetch(it, platform) == path
        assert (path.stat().st_atime_ns, path.stat().st_ctime_ns) == before
        assert (it.folder / f".{HASH}.ok").stat().st_mtime > 1


def test_a_folder_that_cannot_be_written_is_an_error_of_the_cache(platform: Platform, tmp_path: Path) -> None:
    it = cache(tmp_path)
    (it.folder / f".{HASH}.part").mkdir()
    with pytest.raises(CacheError):
        fetch(it, platform)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64])
def test_a_name_that_is_no_hash_is_refused(platform: Platform, tmp_path: Path, name: str) -> None:
    with pytest.raises(CacheError):
        fetch(cache(tmp_path), platform, digest=name)


def test_processes_of_one_node_fetch_it_once(platform: Platform, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        asked = [pool.submit(cache(tmp_path).fetch, f"{platform.url}/model", HASH, len(CONTENT)) for _ in range(6)]
        paths = {future.result() for future in asked}
    assert len(paths) == 1
    assert platform.requests == ["whole"]


def filled(platform: Platform, it: ArtifactCache, ages_s: list[float]) -> list[str]:
    """Artifacts that were last used so long ago."""
    hashes = []
    for age in ages_s:
        content = os.urandom(700_000)
        hashes.append(sha256(content).hexdigest())
        platform.files[f"/{hashes[-1]}"] = content
        fetch(it, platform, digest=hashes[-1], path=f"/{hashes[-1]}")
        used = time.time() - age
        os.utime(it.folder / f".{hashes[-1]}.ok", (used, used))
    return hashes


def test_the_least_used_files_go_when_the_cache_is_full(platform: Platform, tmp_path: Path) -> None:
    it = cache(tmp_path, limit=2_500_000)
    hashes = filled(platform, it, [5000, 9000, 7000])
    fetch(it, platform)
    assert [it.path_of(digest).exists() for digest in (*hashes, HASH)] == [True, False, True, True]


def test_what_is_in_use_stays_even_above_the_limit(platform: Platform, tmp_path: Path) -> None:
    it = cache(tmp_path, limit=1_000_000)
    hashes = filled(platform, it, [0, 0])
    fetch(it, platform)
    assert all(it.path_of(digest).exists() for digest in (*hashes, HASH))


def test_a_partial_file_that_nobody_came_back_for_goes(platform: Platform, tmp_path: Path) -> None:
    it = cache(tmp_path)
    old, new = it.folder / f".{'a' * 64}.part", it.folder / f".{'b' * 64}.part"
    for part in (old, new):
        part.write_bytes(b"x")
    os.utime(old, (1, 1))
    fetch(it, platform)
    assert (old.exists(), new.exists()) == (False, True)
