"""The artifact cache: files by SHA-256, fetched with resume, verified before use, the least used evicted."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256 as new_hash
from pathlib import Path

import httpx

from workers.node.errors import NodeError

PIECE = 256 * 1024
ATTEMPTS = 5
MISMATCHES = 2
FIRST_PAUSE_S = 0.2
# A version's files are fetched one after another and opened together: none may push another out.
IN_USE_S = 600
PART_KEPT_S = 24 * 3600
TRY_AGAIN = {httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS}


class CacheError(NodeError):
    """The artifact could not be had."""

    code = "artifact_unavailable"


class ArtifactMismatch(CacheError):
    """The bytes do not have the SHA-256 that was asked for."""

    code = "artifact_mismatch"


class ArtifactCache:
    """One folder of one node, shared by its processes.

    Beside an artifact lies `.<sha256>.ok`, which names the state of the file that was verified; its time is the
    artifact's last use. `.<sha256>.part` is what came of it so far.
    """

    def __init__(
        self, folder: Path, *, max_bytes: int, timeout_s: float = 30.0, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.timeout_s = timeout_s
        self.sleep = sleep
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path_of(self, sha256: str) -> Path:
        """Where an artifact lies once it is whole."""
        if len(sha256) != 64 or not all(digit in "0123456789abcdef" for digit in sha256):
            raise CacheError("An artifact's name is 64 hex digits.")
        return self.folder / sha256

    def fetch(self, url: str, sha256: str, size: int) -> Path:
        """The verified file, from the cache or from `url`; a corrupted one is fetched anew. Raises CacheError."""
        path = self.path_of(sha256)
        try:
            with self._lock(sha256):
                if path.exists() and path.stat().st_size == size and self._is_verified(path, sha256):
                    return path
                path.unlink(missing_ok=True)
                mark_of(path).unlink(missing_ok=True)
                self._download(url, sha256, size, path)
            with self._lock("evict"):
                self.evict(time.time())
        except OSError as error:
            raise CacheError(f"The cache in {self.folder} cannot be written: {error}") from error
        return path

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """One process of this node at a time."""
        with (self.folder / f".{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _is_verified(self, path: Path, sha256: str) -> bool:
        """Hashed once for each state of the file that the system reports; any change of it is hashed again."""
        mark = mark_of(path)
        if mark.exists() and mark.read_text() == state_of(path):
            os.utime(mark)
            return True
        if digest(path) != sha256:
            return False
        mark.write_text(state_of(path))
        return True

    def _download(self, url: str, sha256: str, size: int, path: Path) -> None:
        """Fetch into a partial file, going on where an earlier try stopped, then verify and rename.

        Gives up after `ATTEMPTS` tries in a row that brought nothing.
        """
        part = self.folder / f".{sha256}.part"
        fault, idle, mismatches = "", 0, 0
        while idle < ATTEMPTS:
            before = size_of(part)
            try:
                self._receive(url, part, size)
            except httpx.HTTPStatusError as error:
                fault = str(error.response.status_code)
                if error.response.is_client_error and error.response.status_code not in TRY_AGAIN:
                    break
            except httpx.HTTPError as error:
                fault = str(error) or type(error).__name__
            if size_of(part) >= size:
                if size_of(part) == size and digest(part) == sha256:
                    part.replace(path)
                    mark_of(path).write_text(state_of(path))
                    return
                part.unlink()
                mismatches += 1
                if mismatches == MISMATCHES:
                    raise ArtifactMismatch(f"{url} does not have the announced size and SHA-256.")
                continue
            idle = 0 if size_of(part) > before else idle + 1
            self.sleep(FIRST_PAUSE_S * 2**idle)
        raise CacheError(f"{url} could not be fetched: {fault or 'it ended early'}")

    def _receive(self, url: str, part: Path, size: int) -> None:
        """One request; appends from where the partial file ends. Raises httpx.HTTPError."""
        have = size_of(part)
        if have >= size > 0:
            return
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with httpx.stream("GET", url, headers=headers, timeout=self.timeout_s, follow_redirects=True) as response:
            response.raise_for_status()
            mode = "ab" if response.status_code == httpx.codes.PARTIAL_CONTENT else "wb"
            with part.open(mode) as file:
                # As the network brings them: a fixed size would hold back, and lose, what came before a cut.
                for piece in response.iter_raw():
                    file.write(piece)
                    if file.tell() > size:
                        return

    def evict(self, now: float) -> None:
        """Remove the least recently used artifacts until the folder fits its limit, and forgotten partial files.

        `now` in seconds since 1970. What was used within ten minutes stays, even above the limit.
        """
        for part in self.folder.glob(".*.part"):
            if part.stat().st_mtime < now - PART_KEPT_S:
                part.unlink(missing_ok=True)
        used = {path: mark_of(path).stat().st_mtime for path in self.folder.iterdir() if mark_of(path).exists()}
        total = sum(path.stat().st_size for path in used)
        for path in sorted(used, key=used.__getitem__):
            if total <= self.max_bytes or used[path] > now - IN_USE_S:
                return
            total -= path.stat().st_size
            path.unlink()
            mark_of(path).unlink()


def mark_of(path: Path) -> Path:
    """The file that says which state of an artifact was verified."""
    return path.with_name(f".{path.name}.ok")


def state_of(path: Path) -> str:
    """What the system says of a file and changes with it."""
    state = path.stat()
    return f"{state.st_size} {state.st_ino} {state.st_mtime_ns} {state.st_ctime_ns}"


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    hashed = new_hash()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            hashed.update(piece)
    return hashed.hexdigest()
