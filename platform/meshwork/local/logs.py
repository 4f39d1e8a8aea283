"""One log file per process: rotated by size, its end shown when the process fails."""

import shutil
from pathlib import Path

MAX_BYTES = 10_000_000
KEPT = 3


def rotate(log: Path, *, max_bytes: int = MAX_BYTES) -> bool:
    """Move a log over `max_bytes` to `.1` (`.1` to `.2`, and so on; three are kept) and empty it; True when done.

    The file is copied and emptied rather than renamed: its process holds it open for appending and knows nothing.
    """
    if not log.exists() or log.stat().st_size <= max_bytes:
        return False
    for number in range(KEPT - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    log.with_name(f"{log.name}.1").chmod(0o600)
    with log.open("r+b") as file:
        file.truncate(0)
    return True


def tail(log: Path, lines: int = 15) -> str:
    """The last `lines` lines of the log, each indented; an empty text where there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 20_000))
        text = file.read().decode(errors="replace")
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
