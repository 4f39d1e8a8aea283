"""The review queue: approve, or reject with a reason, by row or in bulk."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from apps.core.admin import ReadOnlyAdmin
from apps.core.errors import MeshError
from apps.core.models import Event
from apps.operators import applications
from apps.operators.admin.asking import ReasonForm, ask_reason
from apps.operators.models import Application, ApplicationStatus
from workers.protocol.clock import utcnow

COLOURS = {"submitted": "warning", "approved": "success", "rejected": "danger", "draft": "info"}
APPROVING = gettext_lazy("The applicant becomes an operator; on a test network the treasury grants the tier's stake.")
REJECTING = gettext_lazy("The applicant reads the reason, and can change the application and hand it in again.")


class ReasonDialog(ReasonForm, BaseDialogForm):  # type: ignore[misc]
    """Asks for the reason on the row."""


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
    """Rows are decided, never edited."""

    list_display = ["applicant", "tier", "region", "hardware_line", "shown_status", "submitted_at", "reviewed_by"]
    list_filter = [AwaitingReviewFilter, "tier", "region"]
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
        "experience",
        "reason",
        ("submitted_at", "reviewed_at", "reviewed_by"),
        "history_lines",
    ]
    readonly_fields = ["hardware_facts", "history_lines"]

    @display(description=gettext_lazy("applicant"), ordering="user__email")  # type: ignore[untyped-decorator]
    def applicant(self, row: Application) -> str:
        return f"{row.user.email}"

    @display(description=gettext_lazy("hardware"))  # type: ignore[untyped-decorator]
    def hardware_line(self, row: Application) -> str:
        hardware = row.hardware
        gpu = hardware.get("gpu_model") if hardware.get("gpu_type") != "cpu" else "CPU"
        return f"{gpu}, {hardware.get('cpu_cores', '?')} cores, {hardware.get('memory_gb', '?')} GB"

    @display(description=gettext_lazy("hardware"))  # type: ignore[untyped-decorator]
    def hardware_facts(self, row: Application) -> SafeString:
        lines = ((name.replace("_", " "), value) for name, value in row.hardware.items())
        return format_html_join("", "<div>{}: <b>{}</b></div>", lines)

    @display(description=gettext_lazy("history"))  # type: ignore[untyped-decorator]
    def history_lines(self, row: Application) -> SafeString:
        events = Event.objects.filter(subject=row.pk).select_related("actor")
        lines = (
            (f"{event.at:%Y-%m-%d %H:%M} UTC", event.kind, event.actor or "", event.data.get("reason", ""))
            for event in events
        )
        return format_html_join("", "<div>{} · {} · {} <i>{}</i></div>", lines)

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
        reason = ask_reason(self, request, rows, "reject_selected", REJECTING)
        if isinstance(reason, HttpResponse):
            return reason
        self._decide(request, queryset, reason)
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
        return self._back(request)

    @action(  # type: ignore[untyped-decorator]
        description=gettext_lazy("Reject with a reason"),
        permissions=["review"],
        url_path="reject",
        icon="close",
        dialog={
            "title": gettext_lazy("Reject?"),
            "description": REJECTING,
            "form_class": ReasonDialog,
            "form_submit_text": gettext_lazy("Reject"),
        },
    )
    def reject_row(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        """Reject one."""
        self._decide(request, Application.objects.filter(pk=object_id), form.cleaned_data["reason"])
        return self._back(request)

    def _back(self, request: HttpRequest) -> HttpResponse:
        """To the queue, from a dialog or from its page."""
        url = reverse("admin:operators_application_changelist")
        if request.headers.get("HX-Request"):
            return HttpResponse(headers={"HX-Redirect": url})
        return HttpResponseRedirect(url)

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
                self.log_change(request, application, _("Approved.") if reason is None else reason)
                done += 1
        word = _("approved") if reason is None else _("rejected")
        self.message_user(request, f"{done}: {word}", messages.SUCCESS if done else messages.INFO)
