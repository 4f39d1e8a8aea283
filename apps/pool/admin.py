"""Admin of the pool: jobs, chunks, attempts and refusals are looked at, never edited; jobs are cancelled."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from apps.core.admin import ReadOnlyAdmin
from apps.core.admin_decisions import DecidingAdmin, ReasonDialog, dialog
from apps.pool import cancel
from apps.pool.models import Attempt, Job, Refusal, RequirementClass, Task

CANCELLING = _("Chunks that nobody has started are taken back for good; those that run end and are charged.")
CANCEL = dialog(_("Cancel the job"), CANCELLING, "cancel", "cancel")


@admin.register(Job)
class JobAdmin(DecidingAdmin):
    """What was asked for, and what became of it."""

    list_display = ["id", "requester", "purpose", "kind", "model", "status", "tasks_done", "tasks_total", "created_at"]
    list_filter = ["status", "purpose", "kind"]
    search_fields = ["id", "requester__email", "model"]
    list_select_related = ["requester"]
    show_full_result_count = False
    actions = ["cancel_selected"]
    actions_row = ["cancel_row"]
    actions_detail = ["cancel_row"]
    readonly_fields = ["history_lines"]

    @admin.action(description=_("Cancel with a reason"), permissions=["act"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        """Ask for the reason, then cancel."""
        return self.with_reason(request, queryset, cancel.decide, ("cancel_selected", CANCELLING, _("cancelled")))

    @action(**CANCEL)  # type: ignore[untyped-decorator]
    def cancel_row(self, request: HttpRequest, form: ReasonDialog, object_id: str) -> HttpResponse:
        """Cancel one."""
        return self.given_reason(request, form, object_id, (cancel.decide, _("cancelled")))


@admin.register(Task)
class TaskAdmin(ReadOnlyAdmin):
    """Chunks."""

    list_display = ["id", "job", "index", "status", "node", "attempt", "failures", "claimed_at", "completed_at"]
    list_filter = ["status"]
    search_fields = ["id", "job__id", "node__name"]
    list_select_related = ["job", "node"]
    show_full_result_count = False


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    """Assignments of chunks to nodes."""

    list_display = ["id", "task", "number", "node", "status", "code", "counted", "claimed_at", "ended_at"]
    list_filter = ["status", "code"]
    search_fields = ["id", "task__id", "node__name"]
    list_select_related = ["task", "node"]
    show_full_result_count = False


@admin.register(Refusal)
class RefusalAdmin(ReadOnlyAdmin):
    """How often jobs were refused, and why."""

    list_display = ["day", "model", "code", "count", "detail"]
    list_filter = ["code"]
    search_fields = ["model", "detail"]


@admin.register(RequirementClass)
class RequirementClassAdmin(ReadOnlyAdmin):
    """What tasks need of nodes."""

    list_display = ["id", "kind", "model", "version", "min_memory_mb", "framework", "only_node"]
    search_fields = ["model"]
    list_select_related = ["only_node"]
