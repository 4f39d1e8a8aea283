"""What every page of trading shows: the mode, the market's time, the state, and filters that live in the URL."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.utils.functional import Promise

from apps.core.models import User
from apps.trading.models import MarketClock, Source, State, TradingState
from workers.protocol.envelope import unverified_payload
from workers.protocol.errors import ProtocolError

PER_PAGE = 25
CENT = Decimal("0.01")
MINUS = "\N{MINUS SIGN}"
NONE = "-"
Offered = tuple[str, str, str, Iterable[tuple[str, Any]]]


@dataclass(frozen=True)
class Figure:
    """One number with what it is to be held against; `tone` is up, down or nothing."""

    label: str
    value: str
    unit: str = ""
    hint: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Market:
    """The market's clock as a page shows it: live, or a replay of recordings."""

    source: str
    at: datetime
    label: str

    @property
    def is_replay(self) -> bool:
        """Whether recordings stand in for the market."""
        return self.source == Source.REPLAY


@dataclass(frozen=True)
class Filter:
    """One choice above a table; it lives in the URL."""

    name: str
    label: str
    any: str
    choices: list[tuple[str, str | Promise]]
    chosen: str


@dataclass(frozen=True)
class Listing:
    """One page of a table with its filters; `any` is whether there are rows at all."""

    page: Page[Any]
    filters: list[Filter]
    any: bool


def market(wall: datetime) -> Market:
    """What time the market has, without writing the clock's row."""
    row = MarketClock.objects.filter(pk=1).first()
    if row is None or row.source != Source.REPLAY or row.market_at is None:
        return Market(Source.LIVE, wall, "")
    return Market(row.source, row.market_at, row.label)


def state() -> TradingState:
    """The state of trading; ACTIVE where nobody has changed it yet."""
    return TradingState.objects.filter(pk=1).first() or TradingState(pk=1, state=State.ACTIVE)


def frame(user: Any, wall: datetime) -> dict[str, Any]:
    """The context of every page of trading."""
    return {
        "market": market(wall),
        "state": state(),
        "may_steer": isinstance(user, User) and user.acts_as_staff,
    }


def filters(known: Iterable[Offered], query: Mapping[str, str]) -> list[Filter]:
    """Filters (name, label, word for all, choices) with what the URL chose; unknown values choose nothing."""
    found = []
    for name, label, any_, choices in known:
        listed = list(choices)
        value = query.get(name, "")
        found.append(Filter(name, label, any_, listed, value if value in {str(key) for key, _word in listed} else ""))
    return found


def listing(rows: QuerySet[Any], chosen: list[Filter], number: str | None, per_page: int = PER_PAGE) -> Listing:
    """The page that the URL asks for of the rows that the filters let through."""
    wanted = {one.name: one.chosen for one in chosen if one.chosen}
    page = Paginator(rows.filter(**wanted), per_page).get_page(number)
    return Listing(page, chosen, any=bool(wanted) or bool(page.object_list))


def used(rows: QuerySet[Any], field: str) -> list[tuple[str, str]]:
    """The values that a column has, as choices of a filter."""
    values = rows.order_by(field).values_list(field, flat=True).distinct()
    return [(value, value.replace("_", " ")) for value in values if value]


def usd(amount: Decimal | float | None, *, signed: bool = False) -> str:
    """Dollars: $1.25, or $0.0012 where it is less than a cent; a typographic minus."""
    if amount is None:
        return NONE
    exact = Decimal(str(amount))
    digits = 4 if 0 < abs(exact) < CENT else 2
    plain = f"{abs(exact):,.{digits}f}"
    sign = MINUS if exact < 0 and Decimal(plain.replace(",", "")) else "+" if signed and exact > 0 else ""
    return f"{sign}${plain}"


def price(amount: Decimal | float | None) -> str:
    """A price with as many digits as its size needs."""
    return NONE if amount is None else f"{float(amount):,.{precision(float(amount))}f}"


def precision(amount: float) -> int:
    """Digits after the point that a price of this size is read with."""
    return 2 if amount >= 100 else 4 if amount >= 1 else 6


def quantity(amount: Decimal) -> str:
    """An amount of a coin without needless zeros."""
    plain = f"{amount:.8f}"
    return plain.rstrip("0").rstrip(".") or "0"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of one as a percentage."""
    return NONE if share is None else f"{100 * share:.{digits}f}"


def tone(amount: Decimal | float | None) -> str:
    """up, down or nothing."""
    return "" if not amount else "up" if amount > 0 else "down"


def body(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """What a stored message says; its signature was checked when it came. Empty where it cannot be read."""
    try:
        found = unverified_payload(envelope).get("body")
    except ProtocolError:
        return {}
    return found if isinstance(found, dict) else {}
