"""The pages of an account's settings: profile, e-mail, security, sessions, data."""

from datetime import datetime
from typing import Any

from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.ledger import accounts
from apps.operators import (
    account_deletion,
    account_email,
    account_export,
    account_presentation,
    account_sessions,
    attempts,
)
from apps.operators.account_errors import MailUnavailable
from apps.operators.account_forms import DeletionForm, EmailCodeForm, EmailForm, ProfileForm
from apps.operators.errors import OperatorError
from apps.operators.freshness import sure
from apps.operators.views import FORM_METHODS, person
from workers.protocol.clock import utcnow

EXPORTS = 3


@login_required
@require_http_methods(FORM_METHODS)
def profile(request: HttpRequest) -> HttpResponse:
    """Name and time zone."""
    form = ProfileForm(request.POST or None, instance=person(request))
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Saved."))
        return redirect("account_profile")
    return render(request, "account/profile.html", {"form": form})


@login_required
@never_cache
@require_http_methods(FORM_METHODS)
def email(request: HttpRequest) -> HttpResponseBase:
    """The address, whether it is confirmed, and the way to another."""
    user, now = person(request), utcnow()
    if request.method == "POST":
        return email_asked(request, now)
    waiting = account_email.pending(request.session, now)
    context = {
        "confirmed": account_email.is_confirmed(user),
        "waiting": waiting,
        "form": EmailForm(),
        "code_form": EmailCodeForm(),
    }
    return render(request, "account/email_settings.html", context)


@sure
def email_asked(request: HttpRequest, now: datetime) -> HttpResponseBase:
    """Send a code to the address that was typed, or again to the present one."""
    user = person(request)
    form = EmailForm({"email": user.email} if "confirm" in request.POST else request.POST)
    if form.is_valid():
        try:
            account_email.begin(request.session, user, form.cleaned_data["email"], now)
            messages.info(request, _("A code is on its way to %(email)s.") % form.cleaned_data)
            return redirect("account_email_settings")
        except OperatorError as error:
            form.add_error("email", error.detail)
    context = {"confirmed": account_email.is_confirmed(user), "form": form, "code_form": EmailCodeForm()}
    return render(request, "account/email_settings.html", context)


@login_required
@never_cache
@require_POST
def email_code(request: HttpRequest) -> HttpResponse:
    """Enter the code, or give the change up."""
    user, now = person(request), utcnow()
    if "cancel" in request.POST:
        account_email.cancel(request.session)
        return redirect("account_email_settings")
    form = EmailCodeForm(request.POST)
    if form.is_valid():
        try:
            former = account_email.confirm(request.session, user, form.cleaned_data["code"], now)
            tell_of_change(former, user.email)
            messages.success(request, _("%(email)s is your account's address.") % {"email": user.email})
            return redirect("account_email_settings")
        except OperatorError as error:
            form.add_error("code", error.detail)
    context = {
        "confirmed": account_email.is_confirmed(user),
        "waiting": account_email.pending(request.session, now),
        "form": EmailForm(),
        "code_form": form,
    }
    return render(request, "account/email_settings.html", context)


def tell_of_change(former: str | None, email: str | None) -> None:
    """Write to the address that was left; a mail server that is away keeps nobody from changing."""
    if not former or former == email:
        return
    try:
        get_adapter().send_mail("account/email/address_left", former, {"email": email})
    except MailUnavailable:
        return


@login_required
@never_cache
@require_GET
def security(request: HttpRequest) -> HttpResponse:
    """Password, authenticator app, passkeys and recovery codes."""
    return render(request, "account/security.html", account_presentation.security(person(request)))


@login_required
@never_cache
@require_GET
def sessions(request: HttpRequest) -> HttpResponse:
    """Where the account is signed in."""
    found = account_sessions.seats(person(request), request.session.session_key)
    return render(request, "account/sessions.html", {"seats": found, "others": sum(not s.current for s in found)})


@login_required
@require_POST
def session_end(request: HttpRequest, seat_id: int) -> HttpResponse:
    """Sign one session out."""
    if account_sessions.end(person(request), seat_id):
        messages.success(request, _("Signed out there."))
    return redirect("account_sessions")


@login_required
@require_POST
def sessions_end_others(request: HttpRequest) -> HttpResponse:
    """Sign out everywhere but here."""
    account_sessions.end_others(person(request), request.session.session_key)
    messages.success(request, _("Signed out everywhere but here."))
    return redirect("account_sessions")


@login_required
@never_cache
@require_GET
def data(request: HttpRequest) -> HttpResponse:
    """The export, and the way out."""
    return render(request, "account/data.html", {"sections": account_presentation.EXPORTED})


@login_required
@never_cache
@require_GET
@sure
def export_ready(request: HttpRequest) -> HttpResponse:
    """Where a confirmed person downloads."""
    return render(request, "account/data.html", {"sections": account_presentation.EXPORTED, "ready": True})


@login_required
@never_cache
@require_POST
@sure
def export(request: HttpRequest) -> HttpResponseBase:
    """Everything that is held of the person, as one JSON document."""
    user, now = person(request), utcnow()
    attempts.count(f"export:{user.pk}", EXPORTS)
    make = account_export.pieces_async if isinstance(request, ASGIRequest) else account_export.pieces
    name = f"meshwork-account-{now:%Y-%m-%d}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(make(user, now), content_type="application/json", headers=headers)


@login_required
@never_cache
@require_http_methods(FORM_METHODS)
@sure
def delete(request: HttpRequest) -> HttpResponse:
    """What goes, what stays, what stands in the way, and the typed confirmation."""
    user = person(request)
    form = DeletionForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        address = user.email
        account_deletion.delete(user, utcnow())
        logout(request)
        tell_of_deletion(address)
        messages.success(request, _("Your account is deleted."))
        return redirect("/")
    context: dict[str, Any] = {
        "form": form,
        "obstacles": account_deletion.obstacles(user),
        "left": accounts.balance(user) + accounts.held(user),
    }
    return render(request, "account/delete.html", context)


def tell_of_deletion(address: str | None) -> None:
    """The last mail; without a mail server, or an address, there is none."""
    if not address:
        return
    try:
        get_adapter().send_mail("account/email/account_deleted", address, {})
    except MailUnavailable:
        return
