"""What every page knows: the network, the theme, where one can go, and the balance of whoever is signed in."""

from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import Resolver404, resolve
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.ledger import accounts

THEMES = {"light", "dark", "system"}


@dataclass(frozen=True)
class Entry:
    """One link of the navigation; `icon` is a name in the sprite."""

    url: str
    label: str | Promise
    icon: str
    active: bool = False


@dataclass(frozen=True)
class Group:
    """Links under one heading."""

    label: str | Promise
    entries: tuple[Entry, ...]


GROUPS = (
    Group(
        _("Network"),
        (
            Entry("/overview", _("Overview"), "gauge"),
            Entry("/models", _("Models"), "box"),
            Entry("/trading/scans", _("Scans"), "radar"),
            Entry("/ledger", _("Ledger"), "blocks"),
        ),
    ),
    Group(
        _("Operate"),
        (
            Entry("/nodes", _("My nodes"), "server"),
            Entry("/apply", _("Apply"), "clipboard-check"),
            Entry("/install", _("Install a node"), "download"),
        ),
    ),
    Group(
        _("Use"),
        (
            Entry("/jobs", _("Jobs"), "list-checks"),
            Entry("/jobs/new", _("New job"), "plus"),
            Entry("/trading", _("Trading desk"), "chart-candlestick"),
        ),
    ),
    Group(
        _("Account"),
        (
            Entry("/wallet", _("Wallet"), "wallet"),
            Entry("/rewards", _("Stake and rewards"), "coins"),
            Entry("/mandates", _("Mandates"), "scale"),
            Entry("/keys", _("API keys"), "key-round"),
        ),
    ),
)
PUBLIC = (
    Entry("/overview", _("Overview"), "gauge"),
    Entry("/models", _("Models"), "box"),
    Entry("/trading", _("Trading"), "chart-candlestick"),
    Entry("/ledger", _("Ledger"), "blocks"),
    Entry("/api/docs", _("API"), "terminal"),
)


def site(request: HttpRequest) -> dict[str, Any]:
    """The context of every page. `balance` costs one query, and only where a template prints it."""
    theme = request.COOKIES.get("theme", "system")
    return {
        "network": settings.NETWORK,
        "is_testnet": settings.IS_TESTNET,
        "theme": theme if theme in THEMES else "system",
        "nav": cache(partial(nav, request.path)),
        "public_nav": partial(existing, PUBLIC),
        "balance": cache(partial(balance, request)),
    }


def admin_environment(_request: HttpRequest) -> list[str] | None:
    """The admin's badge: a word and its tone; none on the main network."""
    return ["Testnet", "warning"] if settings.IS_TESTNET else None


def nav(path: str) -> list[Group]:
    """The groups whose pages exist, with the entry marked that `path` stands under."""
    urls = [entry.url for group in GROUPS for entry in group.entries]
    here = max(filter(partial(under, path), urls), key=len, default="")
    return [
        Group(group.label, tuple(replace(entry, active=entry.url == here) for entry in entries))
        for group in GROUPS
        if (entries := existing(group.entries))
    ]


def under(path: str, url: str) -> bool:
    """Whether the address is the page at `url` or one below it."""
    return path == url or path.startswith(f"{url}/")


def existing(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Those entries whose address leads somewhere."""
    return tuple(entry for entry in entries if leads_somewhere(entry.url))


@cache
def leads_somewhere(url: str) -> bool:
    """Whether the site has a page at this address."""
    try:
        resolve(url)
    except Resolver404:
        return False
    return True


def balance(request: HttpRequest) -> int | None:
    """The wallet's balance in base units; None for a visitor and on error pages without a user."""
    user = getattr(request, "user", None)
    return accounts.balance(user) if user is not None and user.is_authenticated else None
