"""Operators and what is theirs, in the admin: looked at, suspended, revoked; never edited."""

from datetime import datetime
from functools import partial

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from apps.core.admin import ReadOnlyAdmin, acting
from apps.core.admin_decisions import DecidingAdmin, ReasonDialog, confirmation, dialog
from apps.core.models import User
from apps.ledger import amounts
from apps.operators import deciding, mail, standing
from apps.operators.authentication import revoke_key
from apps.operators.models import ApiKey, Node, NodeEvent, Notification, Operator, Stake, Wallet
from workers.protocol.clock import utcnow

IDLE = _("Their nodes get no tasks until they are reinstated.")
REVOKING = _("Their keys are refused for good.")
ENDING = _("Programs that use them are refused at once; their owners make new ones.")
BACK = _("They connect and work again; a reputation that is used up is raised to where work comes.")
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
SUSPEND = dialog(_("Suspend"), IDLE, "suspend", "pause")
REVOKE = dialog(_("Revoke"), REVOKING, "revoke", "block")
REINSTATE = confirmation(_("Reinstate"), _("Their nodes may work again."), "reinstate", "play_arrow")
LET_BACK = dialog(_("Reinstate"), BACK, "reinstate", "play_arrow")
AGAIN = confirmation(_("Send again"), _("It is tried ten times more, if it was given up."), "again", "forward_to_inbox")
REVOKE_KEY = dialog(_("Revoke"), ENDING, "revoke", "block")


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
        return self.given_reason(request, form, object_id, (standing.suspend, _("suspended")))

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
    actions_row = ["suspend_row", "reinstate_row", "revoke_row"]
    actions_detail = ["suspend_row", "reinstate_row", "revoke_row"]
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
        what = ("reinstate_selected", BACK, _("reinstated"))
        return self.with_reason(request, queryset, deciding.reinstate, what)

    @action(**SUSPEND)  # type: ignore[untyped-decorator]
    def suspend_row(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        """Suspend one."""
        return self.given_reason(request, form, object_id, (deciding.suspend, _("suspended")))

    @action(**LET_BACK)  # type: ignore[untyped-decorator]
    def reinstate_row(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        """Reinstate one."""
        return self.given_reason(request, form, object_id, (deciding.reinstate, _("reinstated")))

    @action(**REVOKE)  # type: ignore[untyped-decorator]
    def revoke_row(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        """Revoke one."""
        return self.given_reason(request, form, object_id, (deciding.revoke, _("revoked")))


@admin.register(ApiKey)
class ApiKeyAdmin(DecidingAdmin):
    """Keys by prefix; their text is nowhere."""

    list_display = ["prefix", "name", "user", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter), ("last_used_at", admin.EmptyFieldListFilter)]
    search_fields = ["prefix", "name", "user__email"]
    list_select_related = ["user"]
    actions = ["revoke_selected"]
    actions_row = ["revoke_row"]
    actions_detail = ["revoke_row"]
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
        return self.with_reason(request, queryset, end_key, ("revoke_selected", ENDING, _("revoked")))

    @action(**REVOKE_KEY)  # type: ignore[untyped-decorator]
    def revoke_row(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        """Revoke one."""
        return self.given_reason(request, form, object_id, (end_key, _("revoked")))


def end_key(key: ApiKey, *, actor: User, reason: str, now: datetime) -> bool:
    """Revoke a key; false where it was revoked."""
    return revoke_key(key, now, actor, reason)


@admin.register(NodeEvent)
class NodeEventAdmin(ReadOnlyAdmin):
    """Nodes' histories."""

    list_display = ["at", "node", "old", "new", "reason"]
    list_filter = ["new", "old", "at"]
    search_fields = ["=node__id", "node__name", "node__operator__user__email", "reason"]
    list_select_related = ["node"]
    show_full_result_count = False


@admin.register(Stake)
class StakeAdmin(ReadOnlyAdmin):
    """Locked stakes."""

    list_display = ["operator", "mesh", "status", "reason", "locked_at", "short_until"]
    list_filter = ["status", "operator__tier", "locked_at"]
    search_fields = ["operator__id", "operator__user__email", "operator__user__name", "reason"]
    list_select_related = ["operator__user"]

    @display(description="MESH", ordering="amount")  # type: ignore[untyped-decorator]
    def mesh(self, row: Stake) -> str:
        return amounts.show(row.amount)


@admin.register(Wallet)
class WalletAdmin(ReadOnlyAdmin):
    """Bound wallets."""

    list_display = ["address", "user", "label", "created_at"]
    search_fields = ["address", "user__email"]
    list_select_related = ["user"]


@admin.register(Notification)
class NotificationAdmin(DecidingAdmin):
    """Mail: what was written, and what still waits."""

    list_display = ["created_at", "kind", "user", "attempts", "sent_at"]
    list_filter = ["kind", ("sent_at", admin.EmptyFieldListFilter)]
    search_fields = ["user__email"]
    list_select_related = ["user"]
    actions = ["again_selected"]
    actions_row = ["again_row"]
    actions_detail = ["again_row"]
    readonly_fields = ["history_lines"]

    def history_subject(self, row: Notification) -> str:
        """Messages have numbers; the log needs to know of what."""
        return f"mail:{row.pk}"

    @admin.action(description=_("Send again"), permissions=["act"])
    def again_selected(self, request: HttpRequest, queryset: QuerySet[Notification]) -> None:
        """Try anew what was given up."""
        self.each(request, queryset, partial(mail.send_again, actor=acting(request), now=utcnow()), _("sent again"))

    @action(**AGAIN)  # type: ignore[untyped-decorator]
    def again_row(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        """Try one anew."""
        act = partial(mail.send_again, actor=acting(request), now=utcnow())
        return self.decide(request, object_id, act, _("sent again"))
