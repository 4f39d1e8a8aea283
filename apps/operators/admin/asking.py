"""The page between an action and its doing, where a reason is needed."""

from typing import Any

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from apps.core.admin import ReadOnlyAdmin


class ReasonForm(forms.Form):
    """Why something is refused or ended."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=_("Name what was not met or what happened; whom it concerns reads this."),
    )


def ask_reason(
    model_admin: ReadOnlyAdmin, request: HttpRequest, rows: QuerySet[Any], action: str, consequence: Any
) -> str | HttpResponse:
    """The reason that was given, or the page that asks for it."""
    form = ReasonForm(request.POST if "reason" in request.POST else None)
    if form.is_valid():
        return str(form.cleaned_data["reason"])
    context = {
        **model_admin.admin_site.each_context(request),
        "title": model_admin.get_actions(request)[action][2],
        "opts": model_admin.opts,
        "form": form,
        "rows": rows,
        "action": action,
        "consequence": consequence,
        "checkbox": ACTION_CHECKBOX_NAME,
    }
    return render(request, "operators/admin/reason.html", context)
