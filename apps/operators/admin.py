"""The review queue and the operators' rows in the admin."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from apps.core.admin import ReadOnlyAdmin
from apps.core.errors import MeshError
from apps.operators import applications, nodes
from apps.operators.forms import ReasonForm
from apps.operators.models import ApiKey, Application, ApplicationStatus, Node, NodeEvent, Operator, Stake, Wallet
from workers.protocol.clock import utcnow

COLOURS = {"submitted": "warning", "approved": "success", "rejected": "danger", "draft": "info"}


class AwaitingReviewFilter(admin.SimpleListFilter):
    """The queue by default; everything on demand."""

    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*ApplicationStatus.choices, ("all", gettext_lazy("all"))]

    def choices(self, changelist: Any) -> Any:
        chosen = self.value() or ApplicationStatus.SUBMITTED
        for value, label in self.lookup_choices:
            query = changelist.get_query_string({self.parameter_name: value})
            yield {"selected": chosen == value, "query_string": query, "display": label}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value() or ApplicationStatus.SUBMITTED
        return queryset if value == "all" else queryset.filter(status=value)


@admin.register(Application)
class ApplicationAdmin(ReadOnlyAdmin):
    """Approve, or reject with a reason; rows are not edited."""

    list_display = ["applicant", "tier", "region", "hardware_line", "shown_status", "submitted_at"]
    list_filter = [AwaitingReviewFilter, "tier", "region"]
    search_fields = ["user__email", "user__name", "id"]
    list_select_related = ["user"]
    ordering = ["submitted_at"]
    actions = ["approve_selected", "reject_selected"]
    list_before_template = None

    @display(description=gettext_lazy("applicant"), ordering="user__email")  # type: ignore[untyped-decorator]
    def applicant(self, row: Application) -> str:
        return f"{row.user.email}"

    @display(description=gettext_lazy("hardware"))  # type: ignore[untyped-decorator]
    def hardware_line(self, row: Application) -> str:
        hardware = row.hardware
        gpu = hardware.get("gpu_model") if hardware.get("gpu_type") != "cpu" else "CPU"
        return f"{gpu}, {hardware.get('cpu_cores', '?')} cores, {hardware.get('memory_gb', '?')} GB"

    @display(description=gettext_lazy("status"), label=COLOURS)  # type: ignore[untyped-decorator]
    def shown_status(self, row: Application) -> tuple[str, str]:
        return row.status, row.get_status_display()

    def has_review_permission(self, request: HttpRequest) -> bool:
        """Reviewers may change applications, by action only."""
        return bool(request.user.has_perm("operators.change_application"))

    @admin.action(description=gettext_lazy("Approve"), permissions=["review"])
    def approve_selected(self, request: HttpRequest, queryset: QuerySet[Application]) -> None:
        """Approve all that are chosen; those that somebody decided meanwhile are named."""
        self._decide(request, queryset, None)

    @admin.action(description=gettext_lazy("Reject with a reason"), permissions=["review"])
    def reject_selected(self, request: HttpRequest, queryset: QuerySet[Application]) -> HttpResponse | None:
        """Ask for the reason, then reject."""
        form = ReasonForm(request.POST if "reason" in request.POST else None)
        if form.is_valid():
            self._decide(request, queryset, form.cleaned_data["reason"])
            return HttpResponseRedirect(reverse("admin:operators_application_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": _("Reject %(n)d applications") % {"n": queryset.count()},
            "form": form,
            "applications": queryset.select_related("user"),
            "opts": self.model._meta,
        }
        return render(request, "admin/operators/reject.html", context)

    def _decide(self, request: HttpRequest, queryset: QuerySet[Application], reason: str | None) -> None:
        """Approve, or reject where there is a reason; each application for itself."""
        done = 0
        for application in queryset.select_related("user"):
            try:
                if reason is None:
                    applications.approve(application, request.user, utcnow())  # type: ignore[arg-type]
                else:
                    applications.reject(application, request.user, reason, utcnow())  # type: ignore[arg-type]
            except MeshError as error:
                self.message_user(request, f"{application.user.email}: {error.detail}", messages.WARNING)
            else:
                done += 1
        word = _("approved") if reason is None else _("rejected")
        self.message_user(request, _("%(n)d %(word)s.") % {"n": done, "word": word}, messages.SUCCESS)


@admin.register(Operator)
class OperatorAdmin(ReadOnlyAdmin):
    """Approved operators."""

    list_display = ["user", "tier", "region", "status", "approved_at"]
    list_filter = ["tier", "status", "region"]
    search_fields = ["user__email", "id"]
    list_select_related = ["user"]


@admin.register(Node)
class NodeAdmin(ReadOnlyAdmin):
    """Nodes; revoking is an action with its reason in the history."""

    list_display = ["name", "operator", "status", "reason", "last_seen_at", "reputation"]
    list_filter = ["status", "operator__tier", "operator__region"]
    search_fields = ["name", "id", "kid", "operator__user__email"]
    list_select_related = ["operator__user"]
    actions = ["revoke_selected"]

    @admin.action(description=gettext_lazy("Revoke: refuse its key for good"))
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Revoke each."""
        for node in queryset:
            try:
                nodes.revoke(node, reason=_("Revoked by an admin (%(who)s).") % {"who": request.user}, now=utcnow())
            except MeshError as error:
                self.message_user(request, f"{node.name}: {error.detail}", messages.WARNING)


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
