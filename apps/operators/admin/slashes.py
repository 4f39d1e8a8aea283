"""Slashes and appeals against them in the admin: looked at, and decided by actions."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from apps.core.admin import ReadOnlyAdmin
from apps.core.admin_decisions import DecidingAdmin, ReasonDialog, dialog
from apps.core.models import User
from apps.ledger.amounts import show
from apps.operators import slash_appeals
from apps.operators.admin.conduct import OpenFilter
from apps.operators.models import SlashAppeal, SlashCase

GRANTING = _("The stake goes back, the node may work again, the bond is returned; whoever appealed reads this answer.")
REFUSING = _("Half of the stake is burnt, the treasury gets the rest and the bond; whoever appealed reads this answer.")
GRANT = dialog(_("Grant"), GRANTING, "grant", "check")
REFUSE = dialog(_("Turn down"), REFUSING, "refuse", "close")


def evidence_link(case: SlashCase) -> str:
    """The page on which both signed messages can be seen."""
    digest = case.evidence.digest
    return format_html('<a href="{}">{}</a>', reverse("trading_evidence", args=[digest]), digest)


@admin.register(SlashCase)
class SlashCaseAdmin(ReadOnlyAdmin):
    """What was slashed for what."""

    list_display = ["public_id", "node", "mesh", "state", "at", "final_at"]
    list_filter = ["slash__status"]
    search_fields = ["=slash__id", "=slash__fault", "=node__id", "node__name", "=evidence__digest"]
    list_select_related = ["slash", "node", "evidence"]
    fields = ["public_id", "what", "node", "mesh", "state", "at", "final_at", "evidence_page", "history_lines"]
    readonly_fields = ["public_id", "mesh", "state", "final_at", "evidence_page", "history_lines"]

    @display(description="MESH")  # type: ignore[untyped-decorator]
    def mesh(self, row: SlashCase) -> str:
        return show(row.slash.amount)

    @display(  # type: ignore[untyped-decorator]
        description=_("state"), label={"escrowed": "warning", "appealed": "warning", "executed": "danger"}
    )
    def state(self, row: SlashCase) -> tuple[str, Any]:
        return row.slash.status, row.slash.get_status_display()

    @display(description=_("final on"), ordering="slash__final_at")  # type: ignore[untyped-decorator]
    def final_at(self, row: SlashCase) -> datetime:
        return row.slash.final_at

    @display(description=_("evidence"))  # type: ignore[untyped-decorator]
    def evidence_page(self, row: SlashCase) -> str:
        return evidence_link(row)

    def history_subject(self, row: SlashCase) -> str:
        """The log knows it by its fault."""
        return row.slash.fault


@admin.register(SlashAppeal)
class SlashAppealAdmin(DecidingAdmin):
    """What owners say against slashes, and what they are answered."""

    list_display = ["at", "by", "case", "mesh", "text", "granted", "answered_by"]
    list_filter = [OpenFilter, "granted"]
    search_fields = ["id", "by__email", "text", "=case__slash__fault"]
    list_select_related = ["by", "case__slash", "case__evidence", "case__node__operator__user", "answered_by"]
    actions = ["grant_selected", "refuse_selected"]
    actions_row = ["grant_row", "refuse_row"]
    actions_detail = ["grant_row", "refuse_row"]
    fields = [
        ("by", "at"),
        ("case", "mesh", "bond_shown"),
        ("what", "evidence_page"),
        "text",
        ("granted", "answered_by", "answered_at"),
        "answer",
        "history_lines",
    ]
    readonly_fields = ["mesh", "bond_shown", "what", "evidence_page", "history_lines"]

    @display(description="MESH")  # type: ignore[untyped-decorator]
    def mesh(self, row: SlashAppeal) -> str:
        return show(row.case.slash.amount)

    @display(description=_("bond, MESH"))  # type: ignore[untyped-decorator]
    def bond_shown(self, row: SlashAppeal) -> str:
        return show(row.bond)

    @display(description=_("fault"))  # type: ignore[untyped-decorator]
    def what(self, row: SlashAppeal) -> str:
        return row.case.what

    @display(description=_("evidence"))  # type: ignore[untyped-decorator]
    def evidence_page(self, row: SlashAppeal) -> str:
        return evidence_link(row.case)

    def history_subject(self, row: SlashAppeal) -> str:
        """The log knows it by its fault."""
        return row.case.slash.fault

    @admin.action(description=_("Grant, with an answer"), permissions=["act"])
    def grant_selected(self, request: HttpRequest, queryset: QuerySet[SlashAppeal]) -> HttpResponse | None:
        """Ask for the answer, then give the stakes back."""
        return self.with_reason(request, queryset, grant, ("grant_selected", GRANTING, _("granted")))

    @admin.action(description=_("Turn down, with an answer"), permissions=["act"])
    def refuse_selected(self, request: HttpRequest, queryset: QuerySet[SlashAppeal]) -> HttpResponse | None:
        """Ask for the answer, then execute the slashes."""
        return self.with_reason(request, queryset, refuse, ("refuse_selected", REFUSING, _("turned down")))

    @action(**GRANT)  # type: ignore[untyped-decorator]
    def grant_row(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        """Grant one."""
        return self.given_reason(request, form, object_id, (grant, _("granted")))

    @action(**REFUSE)  # type: ignore[untyped-decorator]
    def refuse_row(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        """Turn one down."""
        return self.given_reason(request, form, object_id, (refuse, _("turned down")))


def grant(appeal: SlashAppeal, *, actor: User, reason: str, now: datetime) -> bool:
    """Grant an appeal with an answer; true, since it raises where nothing was done."""
    slash_appeals.answer(appeal, actor, reason, now, granted=True)
    return True


def refuse(appeal: SlashAppeal, *, actor: User, reason: str, now: datetime) -> bool:
    """Turn an appeal down with an answer; true, since it raises where nothing was done."""
    slash_appeals.answer(appeal, actor, reason, now, granted=False)
    return True
