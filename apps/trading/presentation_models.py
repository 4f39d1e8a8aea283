"""Which models serve the oracles, why, and how they compare with their baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.trading.models import TrainedModel
from apps.trading.presentation import NONE

SHOWN = 8


@dataclass(frozen=True)
class ModelRow:
    """One training: its figures out of sample beside the baseline's, and whether it serves."""

    id: str
    name: str
    objective: str
    pair: str
    serving: bool
    reason: str
    sharpe: str
    baseline_sharpe: str
    hit_rate: str
    p: str
    data: str
    trained_at: datetime


def served() -> list[ModelRow]:
    """The newest trainings, those that serve first."""
    return [line(row) for row in TrainedModel.objects.order_by("-serving", "-trained_at", "objective")[:SHOWN]]


def line(row: TrainedModel) -> ModelRow:
    """One training's line."""
    return ModelRow(
        id=row.pk,
        name=row.name,
        objective=row.get_objective_display(),
        pair=row.pair,
        serving=row.serving,
        reason=row.reason,
        sharpe=number(row.metrics, "sharpe"),
        baseline_sharpe=number(row.baseline, "sharpe"),
        hit_rate=number(row.metrics, "hit_rate"),
        p=NONE if row.permutation_p is None else f"{row.permutation_p:.3f}",
        data=row.data_label,
        trained_at=row.trained_at,
    )


def number(found: Mapping[str, Any], name: str) -> str:
    """A metric with two digits."""
    value = found.get(name)
    return f"{value:.2f}" if isinstance(value, int | float) else NONE
