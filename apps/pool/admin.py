"""Admin of the pool: jobs, chunks, attempts and refusals are looked at, never edited."""

from django.contrib import admin

from apps.core.admin import ReadOnlyAdmin
from apps.pool.models import Attempt, Job, Refusal, RequirementClass, Task


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """What was asked for, and what became of it."""

    list_display = ["id", "requester", "purpose", "kind", "model", "status", "tasks_done", "tasks_total", "created_at"]
    list_filter = ["status", "purpose", "kind"]
    search_fields = ["id", "requester__email", "model"]
    list_select_related = ["requester"]
    show_full_result_count = False


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
