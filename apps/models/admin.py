"""Admin of the catalogue; versions are published by command."""

from django.contrib import admin

from apps.core.admin import ReadOnlyAdmin
from apps.models.models import Artifact, Model, ModelVersion


@admin.register(Model)
class ModelAdmin(ReadOnlyAdmin):
    """Models."""

    list_display = ["name", "family", "task", "parameters", "licence", "created_at"]
    list_filter = ["task", "family"]
    search_fields = ["name"]


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    """Versions."""

    list_display = ["model", "version", "active", "min_memory_mb", "created_at"]
    list_filter = ["active"]
    search_fields = ["id", "model__name", "version"]
    list_select_related = ["model"]


@admin.register(Artifact)
class ArtifactAdmin(ReadOnlyAdmin):
    """Stored files."""

    list_display = ["sha256", "size", "created_at"]
    search_fields = ["sha256"]
