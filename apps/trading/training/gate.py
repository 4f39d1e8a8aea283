"""Training every objective, and the gate: a model serves only if it beats its baseline out of sample."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from django.db import transaction

from apps.core import events
from apps.models import store
from apps.trading.errors import TradingError
from apps.trading.models import Objective, TrainedModel
from apps.trading.training import data, fitting, graph
from workers.kernels import walkforward
from workers.protocol.ids import new_id

NAME = "direction"
SIGNIFICANT = 0.05
WORST_PARITY = 1e-4


class ParityBroken(TradingError):
    """The exported model does not compute what was trained."""

    code = "parity_broken"
    status = 500


@dataclass(frozen=True)
class Request:
    """What to train: a pair, a horizon in bars of a minute, candles until when, and the permutation test's seed."""

    pair: str
    horizon: int
    until: datetime
    seed: int


def train(request: Request, now: datetime) -> list[TrainedModel]:
    """Train, judge, export and store all three objectives, and decide which serves. Raises TooFewBars, ParityBroken."""
    bars = data.bars(request.pair, request.until)
    rows = data.rows(bars.rows, request.horizon)
    trials = {objective: fitting.walk(objective, rows, request.horizon) for objective in Objective}
    floor = trials[Objective.BASELINE].judged
    made = []
    for objective, trial in trials.items():
        fitted = fitting.FITS[objective](rows.features, rows.follow)
        content = graph.write(fitted)
        apart = graph.parity(content, fitted, rows.features)
        if apart > WORST_PARITY:
            raise ParityBroken(f"{objective}: ONNX Runtime differs by {apart:.2g} of the largest score.")
        chance = (
            None
            if objective == Objective.BASELINE
            else walkforward.permutation_p(trial.positions, trial.returns, 1, fitting.SHUFFLES, request.seed)
        )
        sha256, size = kept(content, now)
        made.append(
            TrainedModel(
                id=new_id("mdv", now),
                name=NAME,
                objective=objective,
                pair=request.pair,
                horizon_s=60 * request.horizon,
                sha256=sha256,
                size=size,
                metrics=trial.judged.as_dict(),
                baseline=floor.as_dict(),
                permutation_p=chance,
                parity=apart,
                confidence_bp=min(9_500, round(10_000 * trial.judged.hit_rate)),
                folds=trial.folds,
                data_label=bars.label,
                data_sha256=bars.sha256,
                rows=len(rows.follow),
                seed=request.seed,
                trained_at=now,
                **said(objective, trial.judged, floor, chance),
            )
        )
    return stored(made, now)


def said(
    objective: Objective, judged: fitting.Judged, floor: fitting.Judged, chance: float | None
) -> dict[str, str | bool]:
    """Whether an objective may serve by itself, and why."""
    if objective == Objective.BASELINE:
        return {"serving": False, "reason": "It is the baseline: it serves unless a model beats it."}
    beats = judged.sharpe > floor.sharpe and chance is not None and chance < SIGNIFICANT
    words = (
        f"Out of sample its Sharpe ratio a trade is {judged.sharpe:.3f}, the baseline's {floor.sharpe:.3f}; "
        f"permutation p {chance:.3f}. "
    )
    return {
        "serving": beats,
        "reason": words + ("It beats the baseline." if beats else "It does not beat the baseline."),
    }


def kept(content: bytes, now: datetime) -> tuple[str, int]:
    """The file in the artifact store: its SHA-256 and size."""
    store.folder().mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=store.folder()) as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        artifact = store.put(path, now)
    return artifact.sha256, artifact.size


@transaction.atomic(durable=True)
def stored(made: list[TrainedModel], now: datetime) -> list[TrainedModel]:
    """Keep all rows; of those that beat the baseline the best serves, else the baseline does."""
    able = [row for row in made if row.serving]
    best = max(able, key=lambda row: row.metrics["sharpe"], default=None)
    for row in made:
        row.serving = row is best or (best is None and row.objective == Objective.BASELINE)
        if row.serving and best is None:
            row.reason = "The baseline serves: no model beat it out of sample."
    TrainedModel.objects.filter(name=NAME, serving=True).update(serving=False)
    TrainedModel.objects.bulk_create(made)
    serving = next(row for row in made if row.serving)
    shown = {"objective": serving.objective, "reason": serving.reason}
    events.emit("model.trained", subject=serving.pk, topics=["desk"], data=shown, now=now)
    return made
