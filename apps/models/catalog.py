"""Reading the catalogue."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from apps.models.errors import ModelUnknown
from apps.models.models import Model, ModelVersion


def active_versions() -> QuerySet[ModelVersion]:
    """Every version that serves now."""
    return ModelVersion.objects.filter(active=True).select_related("model").order_by("model__name")


def active_version(name: str, now: datetime | None = None) -> ModelVersion:
    """The version of a model that serves now. Raises ModelUnknown."""
    version = active_versions().filter(model__name=name).first()
    if version is None:
        raise ModelUnknown(f"The network offers no model named {name}.")
    return version


def version_of(name: str, version: str) -> ModelVersion:
    """One version, active or not. Raises ModelUnknown."""
    found = ModelVersion.objects.select_related("model").filter(model__name=name, version=version).first()
    if found is None:
        raise ModelUnknown(f"The network has no version {version} of {name}.")
    return found


def manifest(version: ModelVersion) -> dict[str, Any]:
    """What a node needs to serve a version."""
    return dict(version.manifest)


def file_urls(version: ModelVersion) -> list[dict[str, Any]]:
    """The version's files with their addresses: name, sha256, size in bytes, url."""
    base = f"{settings.SITE_URL}/api/v1/artifacts"
    return [{**file, "url": f"{base}/{file['sha256']}"} for file in version.files]


def offered() -> QuerySet[Model]:
    """Models with a version that serves now."""
    return Model.objects.filter(versions__active=True).distinct()
