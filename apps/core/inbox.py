"""What waits for staff, on one page: each room says what of its own does, and which of its lists' actions settle it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise

from workers.protocol.clock import utcnow

SHOWN = 5
# Says to an action's dialog that it was opened here, and that here is where to go afterwards.
NAME = "inbox"


@dataclass(frozen=True)
class Deed:
    """An action of the row's list, in its dialog."""

    title: str | Promise
    url: str
    icon: str


@dataclass(frozen=True)
class Item:
    """One thing that waits: its words, since when, and where it is dealt with. `pk` is needed to act on it here."""

    title: str
    url: str
    at: datetime | None = None
    pk: Any = None
    deeds: list[Deed] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """Things of one sort; `count` is of all of them, `items` are the oldest few. `permission` is needed to see it.

    `actions` are names of row actions of the list of `model`; they are offered to those who may take them there.
    """

    title: str | Promise
    count: int
    url: str
    permission: str
    items: list[Item] = field(default_factory=list)
    model: type[Model] | None = None
    actions: tuple[str, ...] = ()

    @property
    def more(self) -> int:
        """How many wait that are not shown."""
        return self.count - len(self.items)


Source = Callable[[datetime], Section]
_sources: dict[str, Source] = {}


def register(name: str, source: Source) -> None:
    """Have `source(now)` asked whenever the inbox is looked at; the order of registration is that of the page."""
    _sources[name] = source


def sections(user: Any, now: datetime) -> list[Section]:
    """What waits for this person: sections with something in them that they may see."""
    found = [source(now) for source in _sources.values()]
    return [section for section in found if section.count and user.has_perm(section.permission)]


def with_deeds(section: Section, request: HttpRequest) -> Section:
    """The section with what this person may do to each of its items."""
    if section.model is None:
        return section
    listed: Any = admin.site.get_model_admin(section.model)
    # Unfold puts the room and the model before an action's name.
    prefix = f"{section.model._meta.app_label}_{section.model._meta.model_name}_"
    allowed = {each.action_name.removeprefix(prefix): each for each in listed.get_actions_row(request)}
    offered = [allowed[name] for name in section.actions if name in allowed]

    def deeds(item: Item) -> list[Deed]:
        urls = [f"{reverse(f'admin:{each.action_name}', args=[item.pk])}?from={NAME}" for each in offered]
        return [Deed(each.description, url, each.icon) for each, url in zip(offered, urls, strict=True)]

    return replace(section, items=[replace(item, deeds=deeds(item)) for item in section.items])


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The admin's first page gets the inbox."""
    waiting = [with_deeds(section, request) for section in sections(request.user, utcnow())]
    return {**context, "inbox": waiting, "inbox_count": sum(section.count for section in waiting)}
