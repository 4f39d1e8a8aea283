"""The catalogue as JSON."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.permissions import AllowAny

from apps.core.api import CursorPagination
from apps.models import catalog
from apps.models.models import ModelVersion


class FileSerializer(serializers.Serializer[Any]):
    """A file of a version."""

    name = serializers.CharField()
    sha256 = serializers.CharField()
    size = serializers.IntegerField()


class ModelSerializer(serializers.ModelSerializer[ModelVersion]):
    """A model with the version that serves now."""

    name = serializers.CharField(source="model.name")
    title = serializers.CharField(source="model.title")
    family = serializers.CharField(source="model.family")
    task = serializers.CharField(source="model.task")
    parameters = serializers.IntegerField(source="model.parameters")
    licence = serializers.CharField(source="model.licence")
    description = serializers.CharField(source="model.description")
    dimensions = serializers.IntegerField(source="manifest.dimensions", required=False)
    max_tokens = serializers.IntegerField(source="manifest.max_tokens", required=False)
    files = FileSerializer(many=True)

    class Meta:
        model = ModelVersion
        fields = (
            "name",
            "title",
            "family",
            "task",
            "parameters",
            "licence",
            "description",
            "version",
            "dimensions",
            "max_tokens",
            "min_memory_mb",
            "files",
            "created_at",
        )


@extend_schema(tags=["models"], summary="Models that the network offers")
class ModelList(generics.ListAPIView[ModelVersion]):
    """Everybody may read the catalogue."""

    permission_classes = (AllowAny,)
    pagination_class = CursorPagination
    serializer_class = ModelSerializer

    def get_queryset(self) -> QuerySet[ModelVersion]:
        """The active versions."""
        return catalog.active_versions()


@extend_schema(tags=["models"], summary="One model")
class ModelDetail(generics.RetrieveAPIView[ModelVersion]):
    """By its name."""

    permission_classes = (AllowAny,)
    serializer_class = ModelSerializer

    def get_object(self) -> ModelVersion:
        """The active version. Raises ModelUnknown."""
        return catalog.active_version(self.kwargs["name"])
