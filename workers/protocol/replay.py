"""Replay guards: (from, id) of every accepted message is kept until it expires."""

import sqlite3
import threading
import time
from pathlib import Path
from typing import Protocol


class ReplayGuard(Protocol):
    """Remembers messages."""

    def seen(self, sender: str, message_id: str, expires_at_ms: int) -> bool:
        """Record the message; True if it was there before. Atomic."""


class MemoryReplayGuard:
    """For one process that loses nothing by forgetting at its end."""

    PRUNE_AT = 10_000

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self._prune_at = self.PRUNE_AT

    def seen(self, sender: str, message_id: str, expires_at_ms: int) -> bool:
        now = int(time.time() * 1000)
        with self._lock:
            if len(self._known) >= self._prune_at:
                self._known = {k: at for k, at in self._known.items() if at >= now}
                self._prune_at = max(self.PRUNE_AT, 2 * len(self._known))
            if (sender, message_id) in self._known:
                return True
            self._known[(sender, message_id)] = expires_at_ms
            return False


class SqliteReplayGuard:
    """Durable: a message accepted before a kill is refused after it. Shared by the processes of one node."""

    PRUNE_EVERY = 500

    def __init__(self, path: Path) -> None:
        self.path = path
        self._count = 0
        self._lock = threading.Lock()
        # Kept open: whoever closes a file's last connection writes the whole journal back.
        self._db = sqlite3.connect(path, timeout=10, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        with self._db:
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS seen (sender TEXT, id TEXT, expires_at INTEGER, PRIMARY KEY (sender, id))"
            )

    def __del__(self) -> None:
        if hasattr(self, "_db"):
            self._db.close()

    def seen(self, sender: str, message_id: str, expires_at_ms: int) -> bool:
        with self._lock, self._db as db:
            if self._count % self.PRUNE_EVERY == 0:
                db.execute("DELETE FROM seen WHERE expires_at < ?", (int(time.time() * 1000) - 60_000,))
            self._count += 1
            row = (sender, message_id, expires_at_ms)
            return db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", row).rowcount == 0
