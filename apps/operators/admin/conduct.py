"""Bans, appeals and reputation in the admin: looked at, made and decided by actions, never edited."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from apps.core.admin import ReadOnlyAdmin, acting
from apps.core.admin_decisions import DecidingAdmin, ReasonDialog, dialog
from apps.core.errors import MeshError
from apps.core.models import User
from apps.operators import appeals, bans
from apps.operators.models import Appeal, Ban, BanKind, Node, ReputationChange
from workers.protocol.clock import utcnow

LIFTING = _("Whoever was banned reads the reason; everything is as it was, and their nodes come back by themselves.")
GRANTING = _("The ban is lifted; whoever appealed reads this answer.")
REFUSING = _("The ban stands; whoever appealed reads this answer.")
LIFT = dialog(_("Lift"), LIFTING, "lift", "lock_open")
GRANT = dialog(_("Grant"), GRANTING, "grant", "check")
REFUSE = dialog(_("Turn down"), REFUSING, "refuse", "close")


class BanForm(forms.Form):
    """Whom or what to ban, and why."""

    kind = forms.ChoiceField(label=_("What"), choices=BanKind.choices, widget=UnfoldAdminSelectWidget)
    subject = forms.CharField(
        label=_("Which"),
        max_length=254,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("The account's e-mail or number, the node's id, or the address."),
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=_("Whoever is banned reads it, on the site and on the machine."),
    )
    evidence = forms.CharField(
        label=_("Evidence"),
        max_length=8000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}),
        help_text=_("What was seen, with ids, times and digests; whoever is banned reads it."),
    )
    ends_at = forms.SplitDateTimeField(
        label=_("Ends (UTC)"), required=False, widget=UnfoldAdminSplitDateTimeWidget, help_text=_("Empty: no end.")
    )

    def order(self) -> bans.Order | None:
        """What to ban; None, with an error at the field, where there is no such thing."""
        data = self.cleaned_data
        subject, kind = data["subject"].strip(), data["kind"]
        words: dict[str, Any] = {"reason": data["reason"], "evidence": data["evidence"], "ends_at": data["ends_at"]}
        if kind == BanKind.ADDRESS:
            return bans.Order(address=subject, **words)
        if kind == BanKind.NODE:
            node = Node.objects.select_related("operator__user").filter(pk=subject).first()
            if node is not None:
                return bans.Order(node=node, **words)
        else:
            named = {"pk": int(subject)} if subject.isdecimal() and len(subject) < 10 else {"email__iexact": subject}
            user = User.objects.filter(**named).first()
            if user is not None:
                return bans.Order(user=user, **words)
        self.add_error("subject", _("There is no such account or node."))
        return None


class StandingFilter(admin.SimpleListFilter):
    """Bans that stand, by default; those that are over on demand."""

    title = _("standing")
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("stand")), ("no", _("are over")), ("all", _("all"))]

    def choices(self, changelist: Any) -> Any:
        chosen = self.value() or "yes"
        for value, label in self.lookup_choices:
            query = changelist.get_query_string({self.parameter_name: value})
            yield {"selected": chosen == value, "query_string": query, "display": label}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now, value = utcnow(), self.value() or "yes"
        if value == "all":
            return queryset
        standing = Ban.objects.standing(now).values("pk")
        return queryset.filter(pk__in=standing) if value == "yes" else queryset.exclude(pk__in=standing)


@admin.register(Ban)
class BanAdmin(DecidingAdmin):
    """Who and what is kept out, and why."""

    list_display = ["subject_shown", "kind", "shown_standing", "reason", "at", "ends_at", "made_by", "lifted_by"]
    list_filter = [StandingFilter, "kind"]
    search_fields = ["id", "user__email", "node__name", "node__id", "address", "reason"]
    list_select_related = ["user", "node__operator__user", "made_by", "lifted_by"]
    ordering = ["-at"]
    actions = ["lift_selected"]
    actions_list = ["ban"]
    actions_row = ["lift_row"]
    actions_detail = ["lift_row"]
    fields = [
        ("kind", "user", "node", "address"),
        "reason",
        "evidence",
        ("at", "ends_at", "made_by"),
        ("lifted_at", "lifted_by"),
        "lift_reason",
        "history_lines",
    ]
    readonly_fields = ["history_lines"]

    @display(description=_("what"))  # type: ignore[untyped-decorator]
    def subject_shown(self, row: Ban) -> str:
        return row.subject

    @display(description=_("standing"), label={"stands": "danger", "over": "info"})  # type: ignore[untyped-decorator]
    def shown_standing(self, row: Ban) -> tuple[str, Any]:
        return ("stands", _("stands")) if row.stands(utcnow()) else ("over", _("over"))

    def has_ban_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Those who might add bans."""
        return bool(request.user.has_perm("operators.add_ban"))

    @action(description=_("Ban"), url_path="ban", permissions=["ban"])  # type: ignore[untyped-decorator]
    def ban(self, request: HttpRequest) -> HttpResponse:
        """Ask whom or what, why and for how long, then ban."""
        form = BanForm(request.POST or None, initial={k: request.GET.get(k, "") for k in ("kind", "subject")})
        if form.is_valid() and (made := self._made(request, form)):
            self.log_addition(request, made, made.reason)
            self.message_user(request, f"{made}: {made.reason}", messages.SUCCESS)
            return redirect("admin:operators_ban_changelist")
        title = _("Ban an account, a node or an address")
        context = {**self.admin_site.each_context(request), "title": title, "opts": self.opts, "form": form}
        return render(request, "operators/admin/ban.html", context)

    def _made(self, request: HttpRequest, form: BanForm) -> Ban | None:
        order = form.order()
        if order is None:
            return None
        try:
            return bans.make(order, acting(request), utcnow())
        except MeshError as error:
            form.add_error(None, error.detail)
            return None

    @admin.action(description=_("Lift with a reason"), permissions=["act"])
    def lift_selected(self, request: HttpRequest, queryset: QuerySet[Ban]) -> HttpResponse | None:
        """Ask for the reason, then lift."""
        return self.with_reason(request, queryset, lift, ("lift_selected", LIFTING, _("lifted")))

    @action(**LIFT)  # type: ignore[untyped-decorator]
    def lift_row(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        """Lift one."""
        return self.given_reason(request, form, object_id, (lift, _("lifted")))


def lift(ban: Ban, *, actor: User, reason: str, now: datetime) -> bool:
    """End a ban; true, since it raises where nothing was done."""
    bans.lift(ban, actor, reason, now)
    return True


class OpenFilter(admin.SimpleListFilter):
    """Appeals that wait, by default."""

    title = _("answered")
    parameter_name = "answered"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("no", _("waiting")), ("yes", _("answered")), ("all", _("all"))]

    def choices(self, changelist: Any) -> Any:
        chosen = self.value() or "no"
        for value, label in self.lookup_choices:
            query = changelist.get_query_string({self.parameter_name: value})
            yield {"selected": chosen == value, "query_string": query, "display": label}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value() or "no"
        return queryset if value == "all" else queryset.filter(answered_at__isnull=value == "no")


@admin.register(Appeal)
class AppealAdmin(DecidingAdmin):
    """What the banned say, and what they are answered."""

    list_display = ["at", "by", "ban", "text", "granted", "answered_by"]
    list_filter = [OpenFilter, "granted"]
    search_fields = ["id", "ban__id", "by__email", "text"]
    list_select_related = ["by", "ban__user", "ban__node__operator__user", "answered_by"]
    actions = ["grant_selected", "refuse_selected"]
    actions_row = ["grant_row", "refuse_row"]
    actions_detail = ["grant_row", "refuse_row"]
    fields = ["ban", "ban_reason", "ban_evidence", ("by", "at"), "text", "granted", "answer", "history_lines"]
    readonly_fields = ["ban_reason", "ban_evidence", "history_lines"]

    @display(description=_("reason of the ban"))  # type: ignore[untyped-decorator]
    def ban_reason(self, row: Appeal) -> str:
        return row.ban.reason

    @display(description=_("evidence"))  # type: ignore[untyped-decorator]
    def ban_evidence(self, row: Appeal) -> str:
        return row.ban.evidence

    def history_subject(self, row: Appeal) -> str:
        """Its ban's history holds it."""
        return row.ban_id

    @admin.action(description=_("Grant, with an answer"), permissions=["act"])
    def grant_selected(self, request: HttpRequest, queryset: QuerySet[Appeal]) -> HttpResponse | None:
        """Ask for the answer, then lift the bans."""
        return self.with_reason(request, queryset, grant, ("grant_selected", GRANTING, _("granted")))

    @admin.action(description=_("Turn down, with an answer"), permissions=["act"])
    def refuse_selected(self, request: HttpRequest, queryset: QuerySet[Appeal]) -> HttpResponse | None:
        """Ask for the answer, then turn the appeals down."""
        return self.with_reason(request, queryset, refuse, ("refuse_selected", REFUSING, _("turned down")))

    @action(**GRANT)  # type: ignore[untyped-decorator]
    def grant_row(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        """Grant one."""
        return self.given_reason(request, form, object_id, (grant, _("granted")))

    @action(**REFUSE)  # type: ignore[untyped-decorator]
    def refuse_row(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        """Turn one down."""
        return self.given_reason(request, form, object_id, (refuse, _("turned down")))


def grant(appeal: Appeal, *, actor: User, reason: str, now: datetime) -> bool:
    """Grant an appeal with an answer; true, since it raises where nothing was done."""
    appeals.answer(appeal, actor, reason, now, granted=True)
    return True


def refuse(appeal: Appeal, *, actor: User, reason: str, now: datetime) -> bool:
    """Turn an appeal down with an answer; true, since it raises where nothing was done."""
    appeals.answer(appeal, actor, reason, now, granted=False)
    return True


@admin.register(ReputationChange)
class ReputationChangeAdmin(ReadOnlyAdmin):
    """Each change of a node's score."""

    list_display = ["at", "node", "kind", "points", "after", "detail"]
    list_filter = ["kind"]
    search_fields = ["=node__id", "node__name"]
    list_select_related = ["node"]
    show_full_result_count = False

    @display(description=_("change"), ordering="change")  # type: ignore[untyped-decorator]
    def points(self, row: ReputationChange) -> str:
        return row.points

    @display(description=_("score"), ordering="score")  # type: ignore[untyped-decorator]
    def after(self, row: ReputationChange) -> str:
        return row.after
