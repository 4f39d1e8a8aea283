"""The page between an action and its doing, where a reason is needed."""

from typing import Any

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from apps.core.admin import ReadOnlyAdmin
from apps.operators.models import Criterion


class ReasonForm(forms.Form):
    """Why something is refused or ended."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=_("Name what was not met or what happened; whom it concerns reads this."),
    )


class RejectionForm(ReasonForm):
    """Which criterion an application fails, and why."""

    criterion = forms.ChoiceField(
        label=_("What was not met"), choices=[("", "---"), *Criterion.choices], widget=UnfoldAdminSelectWidget
    )
    field_order = ("criterion", "reason")


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
    return render(request, "operators/admin/reason.html", context)
