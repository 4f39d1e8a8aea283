"""The review queue: approve, or reject with a reason, by row or in bulk."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from apps.core.admin import ReadOnlyAdmin, acting
from apps.core.admin_decisions import ask, back
from apps.core.errors import MeshError
from apps.operators import applications, hardware
from apps.operators.admin.asking import RejectionDialog, RejectionForm
from apps.operators.models import Application, ApplicationStatus
from workers.protocol.clock import utcnow

COLOURS = {"submitted": "warning", "approved": "success", "rejected": "danger", "draft": "info"}
APPROVING = gettext_lazy("The applicant becomes an operator; on a test network the treasury grants the tier's stake.")
REJECTING = gettext_lazy("The applicant reads the reason, and can change the application and hand it in again.")


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
        if value == ApplicationStatus.SUBMITTED:
            return queryset.filter(pk__in=Application.objects.waiting())
        return queryset if value == "all" else queryset.filter(status=value)


@admin.register(Application)
class ApplicationAdmin(ReadOnlyAdmin):
    """Rows are decided, never edited."""

    list_display = ["applicant", "tier", "region", "hardware_line", "shown_status", "submitted_at", "reviewed_by"]
    list_filter = [AwaitingReviewFilter, "tier", "region", "criterion"]
    search_fields = ["user__email", "user__name", "id"]
    list_select_related = ["user", "reviewed_by"]
    ordering = ["submitted_at"]
    actions = ["approve_selected", "reject_selected"]
    actions_row = ["approve_row", "reject_row"]
    actions_detail = ["approve_row", "reject_row"]
    fields = [
        ("user", "status"),
        ("tier", "region"),
        "hardware_facts",
        "report_facts",
        "experience",
        ("criterion", "reason"),
        ("submitted_at", "reviewed_at", "reviewed_by"),
        "history_lines",
    ]
    readonly_fields = ["hardware_facts", "report_facts", "history_lines"]

    @display(description=gettext_lazy("applicant"), ordering="user__email")  # type: ignore[untyped-decorator]
    def applicant(self, row: Application) -> str:
        return row.user.email or str(row.user)

    @display(description=gettext_lazy("hardware"))  # type: ignore[untyped-decorator]
    def hardware_line(self, row: Application) -> str:
        hardware = row.hardware
        gpu = hardware.get("gpu_model") if hardware.get("gpu_type") != "cpu" else "CPU"
        return f"{gpu}, {hardware.get('cpu_cores', '?')} cores, {hardware.get('memory_gb', '?')} GB"

    @display(description=gettext_lazy("hardware"))  # type: ignore[untyped-decorator]
    def hardware_facts(self, row: Application) -> SafeString:
        lines = ((name.replace("_", " "), value) for name, value in row.hardware.items())
        return format_html_join("", "<div>{}: <b>{}</b></div>", lines)

    @display(description=gettext_lazy("report of the machine"))  # type: ignore[untyped-decorator]
    def report_facts(self, row: Application) -> SafeString | str:
        """What the probe measured, and where what was typed in differs from it."""
        if not row.probe:
            return _("none; typed in by hand")
        differing = [(_("typed / measured"), line) for line in hardware.differences(row.hardware, row.probe)]
        return format_html_join("", "<div>{}: <b>{}</b></div>", [*hardware.facts(row.probe), *differing])

    @display(description=gettext_lazy("status"), label=COLOURS)  # type: ignore[untyped-decorator]
    def shown_status(self, row: Application) -> tuple[str, str]:
        return row.status, row.get_status_display()

    def has_review_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Reviewers may change applications, by action only."""
        return bool(request.user.has_perm("operators.change_application"))

    @admin.action(description=gettext_lazy("Approve"), permissions=["review"])
    def approve_selected(self, request: HttpRequest, queryset: QuerySet[Application]) -> None:
        """Approve all that are chosen; those that somebody decided meanwhile are named."""
        self._decide(request, queryset, None)

    @admin.action(description=gettext_lazy("Reject with a reason"), permissions=["review"])
    def reject_selected(self, request: HttpRequest, queryset: QuerySet[Application]) -> HttpResponse | None:
        """Ask for the reason, then reject."""
        rows = queryset.select_related("user")
        asked = ask(self, request, rows, ("reject_selected", REJECTING), RejectionForm)
        if isinstance(asked, HttpResponse):
            return asked
        self._decide(request, queryset, asked)
        return None

    @action(  # type: ignore[untyped-decorator]
        description=gettext_lazy("Approve"),
        permissions=["review"],
        url_path="approve",
        icon="check",
        dialog={
            "title": gettext_lazy("Approve?"),
            "description": APPROVING,
            "form_submit_text": gettext_lazy("Approve"),
        },
    )
    def approve_row(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        """Approve one."""
        self._decide(request, Application.objects.filter(pk=object_id), None)
        return back(request, self.opts)

    @action(  # type: ignore[untyped-decorator]
        description=gettext_lazy("Reject with a reason"),
        permissions=["review"],
        url_path="reject",
        icon="close",
        dialog={
            "title": gettext_lazy("Reject?"),
            "description": REJECTING,
            "form_class": RejectionDialog,
            "form_submit_text": gettext_lazy("Reject"),
        },
    )
    def reject_row(self, request: HttpRequest, form: RejectionDialog, object_id: str) -> HttpResponse:
        """Reject one."""
        self._decide(request, Application.objects.filter(pk=object_id), form.cleaned_data)
        return back(request, self.opts)

    def _decide(self, request: HttpRequest, queryset: QuerySet[Application], no: dict[str, Any] | None) -> None:
        """Approve, or reject where `no` has criterion and reason; each application for itself."""
        done, actor = 0, acting(request)
        for application in queryset.select_related("user"):
            try:
                if no is None:
                    applications.approve(application, actor, utcnow())
                else:
                    applications.reject(application, actor, no["reason"], utcnow(), criterion=no["criterion"])
            except MeshError as error:
                self.message_user(request, f"{application.user.email}: {error.detail}", messages.WARNING)
            else:
                self.log_change(request, application, _("Approved.") if no is None else no["reason"])
                done += 1
        word = _("approved") if no is None else _("rejected")
        self.message_user(request, f"{done}: {word}", messages.SUCCESS if done else messages.INFO)
