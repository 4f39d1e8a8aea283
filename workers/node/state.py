"""What the agent and its lane processes know together, in one SQLite file."""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS running (task TEXT PRIMARY KEY, attempt INTEGER NOT NULL, pid INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS cancelled (task TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS outbox (task TEXT, attempt INTEGER, body TEXT NOT NULL, PRIMARY KEY (task, attempt));
CREATE TABLE IF NOT EXISTS counts (outcome TEXT PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Running:
    """One attempt that a lane process works on."""

    task: str
    attempt: int
    pid: int


class NodeState:
    """Small durable facts; every call is its own transaction, so a kill leaves a readable file."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = directory / "state.sqlite3"
        # Kept open: whoever closes a file's last connection writes the whole journal back.
        self._db = sqlite3.connect(self.path, timeout=10, check_same_thread=False)
        self._lock = threading.Lock()
        self._db.execute("PRAGMA journal_mode=WAL")
        # The file outlives a kill at any moment; what only a power cut could lose here, the lease makes good.
        self._db.execute("PRAGMA synchronous=NORMAL")
        with self.connect() as db:
            db.executescript(SCHEMA)

    def __del__(self) -> None:
        if hasattr(self, "_db"):
            self._db.close()

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """The connection for one transaction, committed at its end; threads take turns."""
        with self._lock, self._db:
            yield self._db

    def begin(self, task: str, attempt: int, pid: int) -> None:
        """An attempt starts here."""
        with self.connect() as db:
            db.execute("INSERT OR REPLACE INTO running VALUES (?, ?, ?)", (task, attempt, pid))

    def end(self, task: str, outcome: str = "") -> None:
        """The attempt is over; its outcome is counted, where there is one."""
        with self.connect() as db:
            db.execute("DELETE FROM running WHERE task = ?", (task,))
            db.execute("DELETE FROM cancelled WHERE task = ?", (task,))
            if outcome:
                db.execute("INSERT INTO counts VALUES (?, 1) ON CONFLICT (outcome) DO UPDATE SET n = n + 1", (outcome,))

    def counts(self) -> dict[str, int]:
        """How many attempts ended how, since this directory was made."""
        with self.connect() as db:
            return dict(db.execute("SELECT outcome, n FROM counts ORDER BY outcome").fetchall())

    def running(self) -> list[Running]:
        """Attempts under way."""
        with self.connect() as db:
            return [Running(*row) for row in db.execute("SELECT task, attempt, pid FROM running ORDER BY task")]

    def cancel(self, tasks: Iterable[str]) -> None:
        """Remember that these are not wanted any more."""
        with self.connect() as db:
            db.executemany("INSERT OR IGNORE INTO cancelled VALUES (?)", [(task,) for task in tasks])

    def is_cancelled(self, task: str) -> bool:
        """Whether the platform took the task back."""
        with self.connect() as db:
            return db.execute("SELECT 1 FROM cancelled WHERE task = ?", (task,)).fetchone() is not None

    def keep_result(self, task: str, attempt: int, body: dict[str, Any]) -> None:
        """Keep a result until the platform has answered for it."""
        with self.connect() as db:
            db.execute("INSERT OR REPLACE INTO outbox VALUES (?, ?, ?)", (task, attempt, json.dumps(body)))

    def drop_result(self, task: str, attempt: int) -> None:
        """The platform has answered."""
        with self.connect() as db:
            db.execute("DELETE FROM outbox WHERE task = ? AND attempt = ?", (task, attempt))

    def kept_results(self) -> list[tuple[str, int, dict[str, Any]]]:
        """Results that wait to be posted."""
        with self.connect() as db:
            rows = db.execute("SELECT task, attempt, body FROM outbox").fetchall()
        return [(task, attempt, json.loads(body)) for task, attempt, body in rows]

    def set_fact(self, name: str, value: Any) -> None:
        """Remember one JSON value, such as `draining`."""
        with self.connect() as db:
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def fact(self, name: str, default: Any = None) -> Any:
        """Read it back."""
        with self.connect() as db:
            row = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row[0])
