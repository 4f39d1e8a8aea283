"""Models, their versions, and the artifacts that a version is made of."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


class TaskKind(models.TextChoices):
    EMBED = "embed", _("embeddings")
    GENERATE = "generate", _("text generation")
    ANALYSIS = "analysis", _("analysis of network paths")


class Model(models.Model):
    """A model that the network offers."""

    id = models.CharField(primary_key=True, max_length=40)
    name = models.CharField(max_length=120, unique=True)
    title = models.CharField(max_length=120)
    family = models.CharField(max_length=60)
    task = models.CharField(max_length=20, choices=TaskKind)
    parameters = models.BigIntegerField(help_text=_("Number of weights."))
    licence = models.CharField(max_length=80)
    source = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "ml_models"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Artifact(models.Model):
    """A file, named by the SHA-256 of its bytes."""

    sha256 = models.CharField(primary_key=True, max_length=64)
    size = models.BigIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        db_table = "model_artifacts"

    def __str__(self) -> str:
        return self.sha256[:16]


class ModelVersion(models.Model):
    """One version of a model: what nodes download, and how results are checked."""

    id = models.CharField(primary_key=True, max_length=40)
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="versions")
    version = models.CharField(max_length=40)
    manifest = models.JSONField()
    min_memory_mb = models.IntegerField()
    active = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    artifacts: "models.ManyToManyField[Artifact, VersionFile]" = models.ManyToManyField(
        Artifact, through="VersionFile", related_name="versions"
    )

    class Meta:
        db_table = "ml_model_versions"
        constraints = [
            models.UniqueConstraint(fields=["model", "version"], name="catalog_version_once"),
            models.UniqueConstraint(fields=["model"], condition=models.Q(active=True), name="catalog_one_active"),
        ]

    def __str__(self) -> str:
        return f"{self.model_id} {self.version}"

    @property
    def files(self) -> list[dict[str, Any]]:
        """The version's files as the manifest names them."""
        return list(self.manifest["files"])


class VersionFile(models.Model):
    """A file of a version under its name there."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE)
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT)
    name = models.CharField(max_length=80)

    class Meta:
        db_table = "model_version_files"
        constraints = [models.UniqueConstraint(fields=["version", "name"], name="catalog_file_once")]

    def __str__(self) -> str:
        return self.name
