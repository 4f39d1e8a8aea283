"""What an oracle must never forget, in a SQLite file of its own: every write is on the disk before it returns."""

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workers.consensus.errors import DoubleSign
from workers.consensus.journal import Entry

SCHEMA = """
CREATE TABLE IF NOT EXISTS rounds (
    round TEXT PRIMARY KEY, start TEXT NOT NULL, deadline_at INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS signed (
    round TEXT, view INTEGER, step TEXT, digest TEXT NOT NULL, PRIMARY KEY (round, view, step)
);
CREATE TABLE IF NOT EXISTS entries (n INTEGER PRIMARY KEY, round TEXT NOT NULL, entry TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS entries_of_round ON entries (round, n);
"""
# Long past the life of any envelope that could start the round again.
KEPT_MS = 24 * 3600 * 1000


class SqliteJournal:
    """A `Journal` in one file, fsynced with every commit, and the rounds that this node was asked to; times in ms."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=10, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        # A signature that a power cut made us forget could be followed by another one.
        self._db.execute("PRAGMA synchronous=FULL")
        with self._connect() as db:
            db.executescript(SCHEMA)

    def __del__(self) -> None:
        if hasattr(self, "_db"):
            self._db.close()

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on the disk at its end; threads take turns."""
        with self._lock, self._db:
            yield self._db

    def before_signing(self, round_id: str, view: int, step: str, digest: str) -> None:
        """See Journal."""
        slot = (round_id, view, step)
        with self._connect() as db:
            db.execute("INSERT OR IGNORE INTO signed VALUES (?, ?, ?, ?)", (*slot, digest))
            [noted] = db.execute("SELECT digest FROM signed WHERE round = ? AND view = ? AND step = ?", slot).fetchone()
        if noted != digest:
            raise DoubleSign(f"view {view}, {step}: another message was signed before")

    def keep(self, round_id: str, entry: Entry) -> None:
        """See Journal."""
        with self._connect() as db:
            db.execute("INSERT INTO entries (round, entry) VALUES (?, ?)", (round_id, json.dumps(entry)))

    def restore(self, round_id: str) -> list[Entry]:
        """See Journal."""
        with self._connect() as db:
            rows = db.execute("SELECT entry FROM entries WHERE round = ? ORDER BY n", (round_id,)).fetchall()
        return [json.loads(entry) for (entry,) in rows]

    def asked(self, round_id: str, start: Mapping[str, Any], deadline_at: int) -> bool:
        """Remember the start of a round; False where the node has taken it to its end already."""
        with self._connect() as db:
            row = (round_id, json.dumps(start), deadline_at)
            db.execute("INSERT OR IGNORE INTO rounds (round, start, deadline_at) VALUES (?, ?, ?)", row)
            [ended] = db.execute("SELECT ended FROM rounds WHERE round = ?", (round_id,)).fetchone()
        return not ended

    def end(self, round_id: str) -> None:
        """Nothing more is to be done in the round."""
        with self._connect() as db:
            db.execute("UPDATE rounds SET ended = 1 WHERE round = ?", (round_id,))

    def unfinished(self, now_ms: int) -> list[dict[str, Any]]:
        """Starts of the rounds that a restart has to take up again; what ended a day ago is forgotten here."""
        old = (now_ms - KEPT_MS,)
        with self._connect() as db:
            db.execute("DELETE FROM signed WHERE round IN (SELECT round FROM rounds WHERE deadline_at < ?)", old)
            db.execute("DELETE FROM entries WHERE round IN (SELECT round FROM rounds WHERE deadline_at < ?)", old)
            db.execute("DELETE FROM rounds WHERE deadline_at < ?", old)
            rows = db.execute("SELECT start FROM rounds WHERE ended = 0 AND deadline_at > ?", (now_ms,)).fetchall()
        return [json.loads(start) for (start,) in rows]
