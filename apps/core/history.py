"""A row's history, from the event log: who did what when, and what changed against the event before.

The log keeps it, and not a model's save: states change by compare-and-set in SQL, which no save ever sees.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.core.models import Event

MOST = 200
LONGEST = 300


@dataclass(frozen=True)
class Change:
    """One event: `values` are name and value, or name and "old → new" where the event before had another value."""

    at: datetime
    kind: str
    actor: str
    values: list[tuple[str, str]]


def of(subject: str) -> list[Change]:
    """The newest 200 changes of whatever has this id, the newest first; one query."""
    events = list(Event.objects.filter(subject=subject).select_related("actor")[:MOST])
    changes: list[Change] = []
    known: dict[str, Any] = {}
    for event in reversed(events):
        data = flat(event.data)
        values = [(name, shown(name, value, known)) for name, value in data.items() if value not in ("", None)]
        changes.append(Change(event.at, event.kind, str(event.actor or ""), values))
        known.update(data)
    return changes[::-1]


def flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as dotted names."""
    found: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def shown(name: str, value: Any, known: dict[str, Any]) -> str:
    """The value, after the one that it replaced."""
    old = known.get(name)
    text = str(value) if old in (None, "", value) else f"{old} → {value}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
