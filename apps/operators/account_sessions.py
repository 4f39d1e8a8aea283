"""Where an account is signed in: each session with its device, address and when it was last seen."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from redis.exceptions import RedisError

from apps.core.models import User
from workers.protocol.clock import utcnow

logger = logging.getLogger(__name__)
KEPT_S = 14 * 86_400
# Order matters: Edge and Opera call themselves Chrome too, and Chrome calls itself Safari.
BROWSERS = (
    ("Edge", r"Edg\w*/(\d+)"),
    ("Opera", r"OPR/(\d+)"),
    ("Firefox", r"Firefox/(\d+)"),
    ("Chrome", r"Chrom(?:e|ium)/(\d+)"),
    ("Safari", r"Version/(\d+).*Safari"),
    ("curl", r"curl/(\d+)"),
)
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("macOS", "Mac OS X|Macintosh"),
    ("ChromeOS", "CrOS"),
    ("Linux", "Linux|X11"),
)


@dataclass(frozen=True)
class Seat:
    """One session as a row of the page."""

    id: int
    device: str
    address: str
    started_at: datetime
    seen_at: datetime
    current: bool


class LastSeenMiddleware:
    """Notes when a signed-in session was last used, in the cache: a page costs no query more for it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        # Only where the view looked at the user already: most answers to programs do not.
        user = getattr(request, "_cached_user", None)
        session_key = request.session.session_key if hasattr(request, "session") else None
        if user is not None and user.is_authenticated and session_key:
            note(request, session_key, utcnow())
        return response


def note(request: HttpRequest, session_key: str, now: datetime) -> None:
    """Keep when and from where a session was used; without a cache or an address a page is answered all the same."""
    try:
        seen = {"at": now.timestamp(), "ip": get_adapter().get_client_ip(request)}
        cache.set(f"seen:{session_key}", seen, KEPT_S)
    except (PermissionDenied, RedisError) as error:
        logger.warning("When a session was seen was not kept", extra={"error": str(error)})


def device(agent: str) -> str:
    """A browser's own description in short: "Firefox 130 on Linux"."""
    found = ((name, re.search(pattern, agent)) for name, pattern in BROWSERS)
    browser = next((f"{name} {match[1]}" for name, match in found if match), "")
    system = next((name for name, pattern in SYSTEMS if re.search(pattern, agent)), "")
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("Unknown program")


def seats(user: User, current_key: str | None) -> list[Seat]:
    """Living sessions, this one first, then the latest seen."""
    rows: list[UserSession] = UserSession.objects.purge_and_list(user)
    seen: dict[str, dict[str, Any]] = cache.get_many([f"seen:{row.session_key}" for row in rows])
    found = [_seat(row, seen.get(f"seen:{row.session_key}"), current_key) for row in rows]
    return sorted(found, key=lambda seat: (not seat.current, -seat.seen_at.timestamp()))


def _seat(row: UserSession, seen: dict[str, Any] | None, current_key: str | None) -> Seat:
    return Seat(
        id=row.pk,
        device=device(row.user_agent),
        address=seen["ip"] if seen else row.ip,
        started_at=row.created_at,
        seen_at=datetime.fromtimestamp(seen["at"], UTC) if seen else row.last_seen_at,
        current=row.session_key == current_key,
    )


def end(user: User, seat_id: int) -> bool:
    """Sign one of the account's sessions out; False where it is not theirs, or gone."""
    row = UserSession.objects.filter(user=user, pk=seat_id).first()
    if row is None:
        return False
    row.end()
    return True


def end_others(user: User, current_key: str | None) -> int:
    """Sign out everywhere but here; how many."""
    rows = list(UserSession.objects.filter(user=user).exclude(session_key=current_key or ""))
    for row in rows:
        row.end()
    return len(rows)
