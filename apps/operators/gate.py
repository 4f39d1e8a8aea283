"""A banned account may look, appeal, and see to its own account; it changes nothing else."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from apps.core.middleware import error_response
from apps.operators import bans
from apps.operators.errors import AccountBanned
from workers.protocol.clock import utcnow

SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
# Its bans and slashes, signing in and out, and what the law gives it: its data, its settings, its deletion.
OPEN = ("/bans", "/account", "/accounts/", "/theme", "/rewards/slashes/")


class BanMiddleware:
    """Notes a signed-in account's ban on the request, and refuses what would change something."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        notice = notice_of(request)
        request.ban = notice  # type: ignore[attr-defined]
        if notice is not None and request.method not in SAFE and not request.path.startswith(OPEN):
            return error_response(request, AccountBanned(notice.words))
        return self.get_response(request)


def notice_of(request: HttpRequest) -> bans.Notice | None:
    """The ban of whoever is signed in; asks for nobody while no account is banned."""
    now = utcnow()
    if not bans.standing(now).users:
        return None
    user: Any = request.user
    return bans.refused(now, user=user) if user.is_authenticated else None
