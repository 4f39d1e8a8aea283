"""Staff's powers, in the admin and outside it: where the network asks for a second factor, by a session that had one.

An API key never had one.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from allauth.account.authentication import get_authentication_records
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject


def marked(user: Any, session: Any) -> Any:
    """The user, who knows whether the session was opened with a second factor, if staff."""
    if user.is_authenticated and user.is_staff:
        records = get_authentication_records(SimpleNamespace(session=session), user)
        user.second_factor_passed = any(record.get("method") == "mfa" for record in records)
    return user


class StaffMiddleware:
    """Marks the request's user when somebody first looks at it; most requests never do."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        request.user = SimpleLazyObject(lambda: marked(user, request.session))  # type: ignore[assignment]
        return self.get_response(request)
