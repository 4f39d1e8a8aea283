"""Operators and what is theirs, in the admin: looked at, suspended, revoked; never edited."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from apps.core.admin import ActingAdmin, ReadOnlyAdmin, acting
from apps.core.models import User
from apps.operators import deciding, standing
from apps.operators.admin.asking import ReasonForm, ask_reason
from apps.operators.authentication import revoke_key
from apps.operators.models import ApiKey, Node, NodeEvent, Notification, Operator, Stake, Wallet
from workers.protocol.clock import utcnow

IDLE = _("Their nodes get no tasks until they are reinstated.")
REVOKING = _("Their keys are refused for good.")
OPERATOR_COLOURS = {"active": "success", "suspended": "danger"}
NODE_COLOURS = {
    "online": "success",
    "pending": "info",
    "self_test": "info",
    "degraded": "warning",
    "draining": "warning",
    "offline": "danger",
    "suspended": "danger",
    "revoked": "danger",
}
ENDING = _("Programs that use them are refused at once; their owners make new ones.")


class ReasonDialog(ReasonForm, BaseDialogForm):  # type: ignore[misc]
    """Asks for the reason on the row."""


def dialog(word: Any, consequence: Any, url: str, icon: str) -> dict[str, Any]:
    """A row's action with a dialog that asks for a reason."""
    asked = {"title": word, "description": consequence, "form_class": ReasonDialog, "form_submit_text": word}
    return {"description": word, "permissions": ["act"], "url_path": url, "icon": icon, "dialog": asked}


SUSPEND = dialog(_("Suspend"), IDLE, "suspend", "pause")
REVOKE = dialog(_("Revoke"), REVOKING, "revoke", "block")
REINSTATE = dialog(_("Reinstate"), _("Their nodes may work again."), "reinstate", "play_arrow")
del REINSTATE["dialog"]["form_class"]


class DecidingAdmin(ActingAdmin):
    """Rows that are decided on the row and in bulk."""

    def decide(self, request: HttpRequest, object_id: str, act: Callable[[Any], object], done: Any) -> HttpResponse:
        """Act on one row from its dialog, then show the list."""
        self.each(request, self.get_queryset(request).filter(pk=object_id), act, done)
        url = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        if request.headers.get("HX-Request"):
            return HttpResponse(headers={"HX-Redirect": url})
        return HttpResponseRedirect(url)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With what the list and the actions need of other rows."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.select_related(*self.list_select_related)

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


@admin.register(Operator)
class OperatorAdmin(DecidingAdmin):
    """Approved operators."""

    list_display = ["user", "tier", "region", "shown_status", "reason", "approved_at"]
    list_filter = ["tier", "status", "region"]
    search_fields = ["user__email", "user__name", "id"]
    list_select_related = ["user"]
    actions = ["suspend_selected", "reinstate_selected"]
    actions_row = ["suspend_row", "reinstate_row"]
    actions_detail = ["suspend_row", "reinstate_row"]
    fields = [("user", "tier", "region"), ("status", "reason"), "approved_at", "history_lines"]
    readonly_fields = ["history_lines"]

    @display(description=_("status"), label=OPERATOR_COLOURS, ordering="status")  # type: ignore[untyped-decorator]
    def shown_status(self, row: Operator) -> tuple[str, str]:
        return row.status, row.get_status_display()

    @admin.action(description=_("Suspend with a reason"), permissions=["act"])
    def suspend_selected(self, request: HttpRequest, queryset: QuerySet[Operator]) -> HttpResponse | None:
        """Ask for the reason, then suspend."""
        return self.with_reason(request, queryset, standing.suspend, ("suspend_selected", IDLE, _("suspended")))

    @admin.action(description=_("Reinstate"), permissions=["act"])
    def reinstate_selected(self, request: HttpRequest, queryset: QuerySet[Operator]) -> None:
        """Lift suspensions."""
        act = partial(standing.reinstate, actor=acting(request), now=utcnow())
        self.each(request, queryset, act, _("reinstated"))

    @action(**SUSPEND)  # type: ignore[untyped-decorator]
    def suspend_row(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        """Suspend one."""
        reason = form.cleaned_data["reason"]
        act = partial(standing.suspend, actor=acting(request), reason=reason, now=utcnow())
        return self.decide(request, object_id, act, _("suspended"))

    @action(**REINSTATE)  # type: ignore[untyped-decorator]
    def reinstate_row(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        """Reinstate one."""
        act = partial(standing.reinstate, actor=acting(request), now=utcnow())
        return self.decide(request, object_id, act, _("reinstated"))


@admin.register(Node)
class NodeAdmin(DecidingAdmin):
    """Nodes; what is done to them stands in their history with its reason."""

    list_display = ["name", "operator", "shown_status", "reason", "last_seen_at", "reputation"]
    list_filter = ["status", "operator__tier", "operator__region"]
    search_fields = ["name", "id", "kid", "operator__user__email"]
    list_select_related = ["operator__user"]
    actions = ["suspend_selected", "reinstate_selected", "revoke_selected"]
    actions_row = ["suspend_row", "revoke_row"]
    actions_detail = ["suspend_row", "revoke_row"]
    readonly_fields = ["history_lines"]

    @display(description=_("status"), label=NODE_COLOURS, ordering="status")  # type: ignore[untyped-decorator]
    def shown_status(self, row: Node) -> tuple[str, str]:
        return row.status, row.get_status_display()

    @admin.action(description=_("Suspend with a reason"), permissions=["act"])
    def suspend_selected(self, request: HttpRequest, queryset: QuerySet[Node]) -> HttpResponse | None:
        """Ask for the reason, then suspend."""
        return self.with_reason(request, queryset, deciding.suspend, ("suspend_selected", IDLE, _("suspended")))

    @admin.action(description=_("Revoke with a reason"), permissions=["act"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[Node]) -> HttpResponse | None:
        """Ask for the reason, then revoke."""
        return self.with_reason(request, queryset, deciding.revoke, ("revoke_selected", REVOKING, _("revoked")))

    @admin.action(description=_("Reinstate with a reason"), permissions=["act"])
    def reinstate_selected(self, request: HttpRequest, queryset: QuerySet[Node]) -> HttpResponse | None:
        """Lift suspensions; a score that is used up is raised to where work comes again."""
        what = ("reinstate_selected", _("They connect and work again."), _("reinstated"))
        return self.with_reason(request, queryset, deciding.reinstate, what)

    @action(**SUSPEND)  # type: ignore[untyped-decorator]
    def suspend_row(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        """Suspend one."""
        reason = form.cleaned_data["reason"]
        act = partial(deciding.suspend, actor=acting(request), reason=reason, now=utcnow())
        return self.decide(request, object_id, act, _("suspended"))

    @action(**REVOKE)  # type: ignore[untyped-decorator]
    def revoke_row(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        """Revoke one."""
        reason = form.cleaned_data["reason"]
        act = partial(deciding.revoke, actor=acting(request), reason=reason, now=utcnow())
        return self.decide(request, object_id, act, _("revoked"))


@admin.register(ApiKey)
class ApiKeyAdmin(DecidingAdmin):
    """Keys by prefix; their text is nowhere."""

    list_display = ["prefix", "name", "user", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter), ("last_used_at", admin.EmptyFieldListFilter)]
    search_fields = ["prefix", "name", "user__email"]
    list_select_related = ["user"]
    actions = ["revoke_selected"]
    fields = [
        ("prefix", "name", "user"),
        "scopes",
        ("created_at", "expires_at"),
        ("last_used_at", "revoked_at"),
        "history_lines",
    ]
    readonly_fields = ["history_lines"]

    @admin.action(description=_("Revoke with a reason"), permissions=["act"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """Ask for the reason, then revoke."""

        def act(key: ApiKey, *, actor: User, reason: str, now: datetime) -> bool:
            return revoke_key(key, now, actor, reason)

        return self.with_reason(request, queryset, act, ("revoke_selected", ENDING, _("revoked")))


@admin.register(NodeEvent)
class NodeEventAdmin(ReadOnlyAdmin):
    """Nodes' histories."""

    list_display = ["at", "node", "old", "new", "reason"]
    list_select_related = ["node"]


@admin.register(Stake)
class StakeAdmin(ReadOnlyAdmin):
    """Locked stakes."""

    list_display = ["operator", "amount", "status", "locked_at"]
    list_select_related = ["operator__user"]


@admin.register(Wallet)
class WalletAdmin(ReadOnlyAdmin):
    """Bound wallets."""

    list_display = ["address", "user", "label", "created_at"]
    search_fields = ["address", "user__email"]
    list_select_related = ["user"]


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    """Mail: what was written, and what still waits."""

    list_display = ["created_at", "kind", "user", "attempts", "sent_at"]
    list_filter = ["kind", ("sent_at", admin.EmptyFieldListFilter)]
    search_fields = ["user__email"]
    list_select_related = ["user"]
