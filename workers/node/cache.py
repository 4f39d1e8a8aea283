"""The artifact cache: files by SHA-256, fetched with resume, verified before use, the least used evicted."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256 as new_hash
from pathlib import Path

import httpx

from workers.node.errors import NodeError

PIECE = 256 * 1024
ATTEMPTS = 5


class CacheError(NodeError):
    """The artifact could not be had."""

    code = "artifact_unavailable"


class ArtifactMismatch(CacheError):
    """The bytes do not have the SHA-256 that was asked for."""

    code = "artifact_mismatch"


class ArtifactCache:
    """One folder of one node, shared by its processes."""

    def __init__(self, folder: Path, *, max_bytes: int, timeout_s: float = 30.0) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.timeout_s = timeout_s
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path_of(self, sha256: str) -> Path:
        """Where an artifact lies once it is whole."""
        if len(sha256) != 64 or not all(digit in "0123456789abcdef" for digit in sha256):
            raise CacheError("An artifact's name is 64 hex digits.")
        return self.folder / sha256

    def fetch(self, url: str, sha256: str, size: int) -> Path:
        """The verified file, from the cache or from `url`; a corrupted one is fetched anew. Raises CacheError."""
        path = self.path_of(sha256)
        with self._lock(sha256):
            if path.exists() and path.stat().st_size == size and self._is_verified(path, sha256):
                os.utime(path)
                return path
            path.unlink(missing_ok=True)
            self._verified_mark(path).unlink(missing_ok=True)
            self._download(url, sha256, size, path)
        self.evict(keep={sha256})
        return path

    @contextmanager
    def _lock(self, sha256: str) -> Iterator[None]:
        """One process of this node fetches a file at a time."""
        with (self.folder / f".{sha256}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _verified_mark(self, path: Path) -> Path:
        return path.with_name(f".{path.name}.ok")

    def _is_verified(self, path: Path, sha256: str) -> bool:
        """Hashed once for each state of the file that the system reports; any change of it is hashed again."""
        mark, state = self._verified_mark(path), path.stat()
        signature = f"{state.st_size} {state.st_ino} {state.st_ctime_ns}"
        if mark.exists() and mark.read_text() == signature:
            return True
        if digest(path) != sha256:
            return False
        self._mark(path)
        return True

    def _mark(self, path: Path) -> None:
        state = path.stat()
        self._verified_mark(path).write_text(f"{state.st_size} {state.st_ino} {state.st_ctime_ns}")

    def _download(self, url: str, sha256: str, size: int, path: Path) -> None:
        """Fetch into a partial file, going on where an earlier try stopped, then verify and rename."""
        part = path.with_name(f".{sha256}.part")
        fault = ""
        for _ in range(ATTEMPTS):
            try:
                self._receive(url, part, size)
            except httpx.HTTPError as error:
                fault = str(error) or type(error).__name__
                continue
            if part.stat().st_size == size and digest(part) == sha256:
                part.replace(path)
                self._mark(path)
                return
            part.unlink()
            fault = "mismatch"
        if fault == "mismatch":
            raise ArtifactMismatch(f"{url} does not have the announced SHA-256.")
        raise CacheError(f"{url} could not be fetched: {fault}")

    def _receive(self, url: str, part: Path, size: int) -> None:
        """One request; appends from where the partial file ends. Raises httpx.HTTPError."""
        have = part.stat().st_size if part.exists() else 0
        if have > size:
            part.unlink()
            have = 0
        if have == size:
            return
        headers = {"Range": f"bytes={have}-"} if have else {}
        with httpx.stream("GET", url, headers=headers, timeout=self.timeout_s, follow_redirects=True) as response:
            response.raise_for_status()
            mode = "ab" if response.status_code == 206 else "wb"
            with part.open(mode) as file:
                for piece in response.iter_bytes(PIECE):
                    file.write(piece)
                    if file.tell() > size:
                        return

    def evict(self, keep: set[str]) -> None:
        """Remove the least recently used artifacts until the folder fits its limit."""
        files = [path for path in self.folder.iterdir() if not path.name.startswith(".")]
        total = sum(path.stat().st_size for path in files)
        for path in sorted(files, key=lambda item: item.stat().st_mtime):
            if total <= self.max_bytes:
                return
            if path.name in keep:
                continue
            total -= path.stat().st_size
            path.unlink(missing_ok=True)
            self._verified_mark(path).unlink(missing_ok=True)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    hashed = new_hash()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            hashed.update(piece)
    return hashed.hexdigest()
