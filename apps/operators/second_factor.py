"""Staff reach the admin with a second factor only, where the network asks for one."""

from collections.abc import Callable
from functools import partial
from typing import Any

from allauth.mfa.utils import is_mfa_enabled
from csp.constants import UNSAFE_EVAL, UNSAFE_INLINE
from csp.decorators import csp_update
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.utils.http import urlencode
from django.utils.translation import gettext as _

# Unfold's components are Alpine expressions, which evaluate text and set styles.
RELAXED = {"script-src": [UNSAFE_EVAL], "style-src": [UNSAFE_INLINE]}


def guard(site: AdminSite) -> None:
    """Put the check before the admin, and Unfold's relaxation of the content policy on its pages alone."""
    site.has_permission = partial(has_permission, site.has_permission)  # type: ignore[method-assign]
    site.login = partial(login, site.login)  # type: ignore[method-assign]
    site.admin_view = partial(relaxed_view, site.admin_view)  # type: ignore[method-assign, assignment]


def has_permission(original: Callable[[HttpRequest], bool], request: HttpRequest) -> bool:
    """Active staff, and a second factor where one is needed."""
    return original(request) and bool(getattr(request.user, "acts_as_staff", False))


def login(original: Callable[..., HttpResponse], request: HttpRequest, **options: Any) -> HttpResponse:
    """Send staff without a second factor to where they set one up, or use it."""
    user = request.user
    if not (user.is_authenticated and user.is_staff) or user.acts_as_staff:
        return original(request, **options)
    if is_mfa_enabled(user):
        query = urlencode({"next": request.GET.get("next", "/admin/")})
        return redirect(f"{resolve_url('mfa_reauthenticate')}?{query}")
    messages.warning(request, _("The admin needs a second factor. Set one up, then open it again."))
    return redirect("mfa_activate_totp")


def relaxed_view(original: Callable[..., Any], view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
    """The admin's own wrapping of a view, with its content policy."""
    return csp_update(RELAXED)(original(view, cacheable))
