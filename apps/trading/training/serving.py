"""What oracles are offered to run."""

from typing import Any

from django.conf import settings

from apps.core import parameters
from apps.trading.models import TrainedModel


def offered() -> dict[str, Any] | None:
    """The serving model with its manifest and file, as a round's oracles are told; None before any training."""
    row = TrainedModel.objects.filter(serving=True).first()
    if row is None:
        return None
    url = f"{settings.SITE_URL}/api/v1/artifacts/{row.sha256}"
    return {
        "name": row.name,
        "version": row.pk,
        "manifest": {
            "objective": row.objective,
            "pair": row.pair,
            "horizon_s": row.horizon_s,
            "confidence_bp": row.confidence_bp,
            "take_profit_bp": parameters.get("risk.take_profit_bp"),
            "stop_loss_bp": parameters.get("risk.stop_loss_bp"),
        },
        "files": [{"name": "model.onnx", "sha256": row.sha256, "size": row.size, "url": url}],
    }
