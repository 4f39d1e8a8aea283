"""Whether somebody proved just now who they are: by signing in, or by saying again who they are.

A wallet's key opens the account for good, so whoever finds a browser signed in must not be able to bind theirs.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from allauth.account.decorators import reauthentication_required
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

from apps.core.models import User
from apps.operators.account_errors import ConfirmationNeeded, SignInAgain
from workers.protocol.clock import utcnow

View = Callable[..., HttpResponseBase]


def is_fresh(request: HttpRequest) -> bool:
    """Whether the last proof of this session, whatever it was, is younger than the timeout."""
    latest = max((record["at"] for record in get_authentication_records(request, request.user)), default=0)
    return bool(utcnow().timestamp() - latest <= settings.ACCOUNT_REAUTHENTICATION_TIMEOUT)


def check(request: HttpRequest) -> None:
    """Raise ConfirmationNeeded, or SignInAgain for somebody with neither password nor factor, unless it is fresh."""
    if not is_fresh(request):
        raise ConfirmationNeeded if get_adapter().get_reauthentication_methods(request.user) else SignInAgain


def sure(view: View) -> View:
    """Ask for the password or a second factor, unless it was just given. Who has neither signs in afresh."""

    @wraps(view)
    def asked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not isinstance(request.user, User):
            raise PermissionDenied
        if not get_adapter().get_reauthentication_methods(request.user) and not is_fresh(request):
            raise SignInAgain
        return view(request, *args, **kwargs)

    guarded: View = reauthentication_required(app="allauth.account")(asked)
    return guarded


def fresh(view: View) -> View:
    """The same where a sign-in of just now is enough: the first wallet after signing up needs no password again."""
    guarded = sure(view)

    @wraps(view)
    def asked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return (view if is_fresh(request) else guarded)(request, *args, **kwargs)

    return asked
