"""Seeing that a source file changed, for `up --reload`."""

from collections.abc import Sequence
from pathlib import Path

import meshwork

WATCHED = frozenset({".py", ".html"})


def source_roots() -> list[Path]:
    """The checkout's folders, or the installed package alone."""
    package = Path(meshwork.__file__).parent
    checkout = package.parent.parent
    beside = [checkout / name for name in ("apps", "workers", "templates")]
    return [package, *(folder for folder in beside if folder.is_dir())]


class Watcher:
    """Remembers when each source file under `roots` was changed last."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = roots
        self._seen = self._look()

    def changes(self) -> list[Path]:
        """The files that were added, changed or removed since the last call, sorted."""
        before, self._seen = self._seen, self._look()
        return sorted({path for path, _ in before.items() ^ self._seen.items()})

    def _look(self) -> dict[Path, int]:
        found = {}
        for root in self._roots:
            for path in root.rglob("*"):
                if path.suffix in WATCHED:
                    try:
                        found[path] = path.stat().st_mtime_ns
                    except FileNotFoundError:  # an editor's short-lived file
                        continue
        return found
