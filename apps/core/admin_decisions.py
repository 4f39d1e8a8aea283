"""Decisions on rows of the admin: by a dialog on the row and in the inbox, by a page in bulk; with a reason if due."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from apps.core import inbox
from apps.core.admin import ActingAdmin, ReadOnlyAdmin, acting
from workers.protocol.clock import utcnow


class ReasonForm(forms.Form):
    """Why something is refused or ended."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=_("Name what was not met or what happened; whom it concerns reads this."),
    )


class ReasonDialog(ReasonForm, BaseDialogForm):  # type: ignore[misc]
    """Asks for the reason on the row."""


def dialog(word: Any, consequence: Any, url: str, icon: str) -> dict[str, Any]:
    """A row's action with a dialog that asks for a reason."""
    asked = {"title": word, "description": consequence, "form_class": ReasonDialog, "form_submit_text": word}
    return {"description": word, "permissions": ["act"], "url_path": url, "icon": icon, "dialog": asked}


def confirmation(word: Any, consequence: Any, url: str, icon: str) -> dict[str, Any]:
    """A row's action with a dialog that names the consequence alone."""
    asked = {"title": word, "description": consequence, "form_submit_text": word}
    return {"description": word, "permissions": ["act"], "url_path": url, "icon": icon, "dialog": asked}


def ask_reason(
    model_admin: ReadOnlyAdmin, request: HttpRequest, rows: QuerySet[Any], action: str, consequence: Any
) -> str | HttpResponse:
    """The reason that was given, or the page that asks for it."""
    asked = ask(model_admin, request, rows, (action, consequence), ReasonForm)
    return asked if isinstance(asked, HttpResponse) else str(asked["reason"])


def ask(
    model_admin: ReadOnlyAdmin,
    request: HttpRequest,
    rows: QuerySet[Any],
    what: tuple[str, Any],
    form_class: type[ReasonForm],
) -> dict[str, Any] | HttpResponse:
    """What was answered, or the page that asks; `what` is the action's name and its consequence in words."""
    action, consequence = what
    form = form_class(request.POST if "reason" in request.POST else None)
    if form.is_valid():
        return form.cleaned_data
    context = {
        **model_admin.admin_site.each_context(request),
        "title": model_admin.get_actions(request)[action][2],
        "opts": model_admin.opts,
        "form": form,
        "rows": rows,
        "action": action,
        "consequence": consequence,
        "checkbox": ACTION_CHECKBOX_NAME,
        "across": request.POST.get("select_across", "0"),
    }
    return render(request, "admin/reason.html", context)


def back(request: HttpRequest, opts: Any) -> HttpResponse:
    """To where the decision was taken, from a dialog or from its page: the inbox, or the list."""
    listed = f"admin:{opts.app_label}_{opts.model_name}_changelist"
    url = reverse("admin:index" if request.GET.get("from") == inbox.NAME else listed)
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


class DecidingAdmin(ActingAdmin):
    """Rows that are decided on the row and in bulk."""

    def decide(self, request: HttpRequest, object_id: str, act: Callable[[Any], object], done: Any) -> HttpResponse:
        """Act on one row from its dialog, then show where that was opened."""
        self.each(request, self.get_queryset(request).filter(pk=object_id), act, done)
        return back(request, self.opts)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With what the list and the actions need of other rows."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.select_related(*self.list_select_related) if self.list_select_related else rows

    def with_reason(
        self, request: HttpRequest, queryset: QuerySet[Any], act: Callable[..., object], what: tuple[str, Any, Any]
    ) -> HttpResponse | None:
        """Ask for the reason, then act on each; `what` is the action's name, consequence and past tense."""
        name, consequence, done = what
        reason = ask_reason(self, request, queryset, name, consequence)
        if isinstance(reason, HttpResponse):
            return reason
        self.each(request, queryset, partial(act, actor=acting(request), reason=reason, now=utcnow()), done)
        return None

    def given_reason(
        self, request: HttpRequest, form: ReasonDialog, object_id: str, what: tuple[Callable[..., object], Any]
    ) -> HttpResponse:
        """Act on one row with the reason that its dialog asked for; `what` is the act and its past tense."""
        act, done = what
        reason = form.cleaned_data["reason"]
        return self.decide(request, object_id, partial(act, actor=acting(request), reason=reason, now=utcnow()), done)
