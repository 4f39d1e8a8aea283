"""Opening a browser's session for somebody who proved who they are, by allauth's way, so that it is listed and that a
second factor is asked for where the account has one."""

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from django.conf import settings
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.http import urlencode

from apps.core.models import User


def begin_session(request: HttpRequest, user: User, method: str, wanted: str, *, made: bool) -> str:
    """Sign the request's browser in; returns the page to go to: `wanted` where it is one of ours, welcome if new."""
    place = wanted if wanted and get_adapter().is_safe_url(wanted) else ""
    if made:
        query = f"?{urlencode({'next': place})}" if place else ""
        place = reverse("wallet_welcome") + query
    place = place or resolve_url(settings.LOGIN_REDIRECT_URL)
    record_authentication(request, user, method=method)
    response = perform_login(request, Login(user=user, email_verification="none", redirect_url=place))
    return str(response.get("Location", place))
