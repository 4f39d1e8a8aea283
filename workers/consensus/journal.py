"""What a machine must never forget: asked before each signature, read after each restart."""

from typing import Any, Protocol

from workers.consensus.errors import DoubleSign

Entry = dict[str, Any]


class Journal(Protocol):
    """Durable memory of one oracle. Both writing methods return only when the disk has it."""

    def before_signing(self, round_id: str, view: int, step: str, digest: str) -> None:
        """Note the digest for (round, view, step); raises DoubleSign if another one was noted."""

    def keep(self, round_id: str, entry: Entry) -> None:
        """Keep one JSON object for `restore`: a signed message, or what only this machine knows."""

    def restore(self, round_id: str) -> list[Entry]:
        """Everything kept for the round, in order."""


class MemoryJournal:
    """A journal that outlives a machine but not its process: for the simulator and for tests."""

    def __init__(self) -> None:
        self.digests: dict[tuple[str, int, str], str] = {}
        self.entries: dict[str, list[Entry]] = {}

    def before_signing(self, round_id: str, view: int, step: str, digest: str) -> None:
        """See Journal."""
        if self.digests.setdefault((round_id, view, step), digest) != digest:
            raise DoubleSign(f"view {view}, {step}: another message was signed before")

    def keep(self, round_id: str, entry: Entry) -> None:
        """See Journal."""
        self.entries.setdefault(round_id, []).append(entry)

    def restore(self, round_id: str) -> list[Entry]:
        """See Journal."""
        return list(self.entries.get(round_id, ()))
