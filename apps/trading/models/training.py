"""What was trained, on what, and what serves."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Objective(models.TextChoices):
    BASELINE = "baseline", _("baseline: the direction that was more frequent")
    SEMIVARIANCE = "semivariance", _("MSRR: mean-semivariance robust return")
    MAX_SHARPE = "max_sharpe", _("MSRR: maximum-Sharpe regression")


class TrainedModel(models.Model):
    """One training of one objective: its ONNX file, its metrics out of sample, and whether it serves and why.

    `metrics` and `baseline`: {sharpe, hit_rate, return, trades}, net of costs, over the purged walk-forward's tests.
    """

    id = models.CharField(primary_key=True, max_length=40)
    name = models.CharField(max_length=80)
    objective = models.CharField(max_length=16, choices=Objective)
    pair = models.CharField(max_length=20)
    horizon_s = models.IntegerField()
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()
    metrics = models.JSONField()
    baseline = models.JSONField()
    permutation_p = models.FloatField(null=True)
    parity = models.FloatField(help_text=_("Largest difference between ONNX Runtime and the reference."))
    confidence_bp = models.IntegerField()
    folds = models.JSONField(default=list)
    data_label = models.CharField(max_length=200)
    data_sha256 = models.CharField(max_length=64)
    rows = models.IntegerField()
    seed = models.IntegerField()
    serving = models.BooleanField(default=False)
    reason = models.CharField(max_length=300)
    trained_at = models.DateTimeField()

    class Meta:
        ordering = ["-trained_at", "objective"]
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=Q(serving=True), name="trading_one_model_serves")
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.objective}"
