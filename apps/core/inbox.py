"""What waits for staff, on one page: each room says what of its own does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.functional import Promise

from workers.protocol.clock import utcnow

SHOWN = 5


@dataclass(frozen=True)
class Item:
    """One thing that waits: its words, since when, and where it is dealt with."""

    title: str
    url: str
    at: datetime | None = None


@dataclass(frozen=True)
class Section:
    """Things of one sort; `count` is of all of them, `items` are the oldest few. `permission` is needed to see it."""

    title: str | Promise
    count: int
    url: str
    permission: str
    items: list[Item] = field(default_factory=list)


Source = Callable[[datetime], Section]
_sources: dict[str, Source] = {}


def register(name: str, source: Source) -> None:
    """Have `source(now)` asked whenever the inbox is looked at; the order of registration is that of the page."""
    _sources[name] = source


def sections(user: Any, now: datetime) -> list[Section]:
    """What waits for this person: sections with something in them that they may see."""
    found = [source(now) for source in _sources.values()]
    return [section for section in found if section.count and user.has_perm(section.permission)]


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The admin's first page gets the inbox."""
    waiting = sections(request.user, utcnow())
    return {**context, "inbox": waiting, "inbox_count": sum(section.count for section in waiting)}
