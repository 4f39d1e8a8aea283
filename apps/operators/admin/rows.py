"""Operators and what is theirs, in the admin: looked at, suspended, revoked; never edited."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from apps.core.admin import ActingAdmin, ReadOnlyAdmin, acting
from apps.operators import nodes, standing
from apps.operators.admin.asking import ask_reason
from apps.operators.models import ApiKey, Node, NodeEvent, Notification, Operator, Stake, Wallet
from workers.protocol.clock import utcnow

IDLE = _("Their nodes get no tasks until they are reinstated.")


@admin.register(Operator)
class OperatorAdmin(ActingAdmin):
    """Approved operators."""

    list_display = ["user", "tier", "region", "status", "reason", "approved_at"]
    list_filter = ["tier", "status", "region"]
    search_fields = ["user__email", "id"]
    list_select_related = ["user"]
    actions = ["suspend_selected", "reinstate_selected"]

    @admin.action(description=_("Suspend with a reason"), permissions=["act"])
    def suspend_selected(self, request: HttpRequest, queryset: QuerySet[Operator]) -> HttpResponse | None:
        """Ask for the reason, then suspend."""
        reason = ask_reason(self, request, queryset, "suspend_selected", IDLE)
        if isinstance(reason, HttpResponse):
            return reason
        act = partial(standing.suspend, actor=acting(request), reason=reason, now=utcnow())
        self.each(request, queryset.select_related("user"), act, _("suspended"))
        return None

    @admin.action(description=_("Reinstate"), permissions=["act"])
    def reinstate_selected(self, request: HttpRequest, queryset: QuerySet[Operator]) -> None:
        """Lift suspensions."""
        act = partial(standing.reinstate, actor=acting(request), now=utcnow())
        self.each(request, queryset.select_related("user"), act, _("reinstated"))


@admin.register(Node)
class NodeAdmin(ActingAdmin):
    """Nodes; what is done to them stands in their history with its reason."""

    list_display = ["name", "operator", "status", "reason", "last_seen_at", "reputation"]
    list_filter = ["status", "operator__tier", "operator__region"]
    search_fields = ["name", "id", "kid", "operator__user__email"]
    list_select_related = ["operator__user"]
    actions = ["suspend_selected", "reinstate_selected", "revoke_selected"]

    @admin.action(description=_("Suspend with a reason"), permissions=["act"])
    def suspend_selected(self, request: HttpRequest, queryset: QuerySet[Node]) -> HttpResponse | None:
        """Ask for the reason, then suspend."""
        return self._with_reason(request, queryset, nodes.suspend, IDLE)

    @admin.action(description=_("Revoke with a reason"), permissions=["act"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[Node]) -> HttpResponse | None:
        """Ask for the reason, then revoke."""
        return self._with_reason(request, queryset, nodes.revoke, _("Their keys are refused for good."))

    @admin.action(description=_("Reinstate"), permissions=["act"])
    def reinstate_selected(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Lift suspensions."""
        rows = queryset.select_related("operator")
        self.each(request, rows, partial(nodes.reinstate, now=utcnow()), _("reinstated"))

    def _with_reason(
        self, request: HttpRequest, queryset: QuerySet[Node], act: Callable[..., bool], consequence: Any
    ) -> HttpResponse | None:
        reason = ask_reason(self, request, queryset, request.POST["action"], consequence)
        if isinstance(reason, HttpResponse):
            return reason
        self.each(request, queryset.select_related("operator"), partial(act, reason=reason, now=utcnow()), reason)
        return None


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


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys by prefix; their text is nowhere."""

    list_display = ["prefix", "name", "user", "created_at", "last_used_at", "revoked_at"]
    search_fields = ["prefix", "user__email"]
    list_select_related = ["user"]


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
