"""Training on the recorded day: the gate is honest, the file computes what was trained, oracles can run it."""

from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from apps.models import store
from apps.trading import candles, market_time
from apps.trading.models import Objective, Source, TrainedModel
from apps.trading.sources.replay_source import ReplaySource
from apps.trading.training import data, fitting, gate, graph, serving
from workers.node import predicting

PAIR, HORIZON = "BTC-USD", 15
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORDING = Path(str(files("meshwork") / "recordings" / "candles-btc-usd-1m.csv.gz"))


@pytest.fixture
def recorded(db: None) -> list[tuple[float, ...]]:
    rows = list(ReplaySource(RECORDING).rows(PAIR, None, None))
    market_time.start_replay("a recording", moment(rows, 0), moment(rows, -1), NOW)
    candles.ingest(Source.REPLAY, "recorded", PAIR, rows, NOW)
    return rows


def moment(rows: list[tuple[float, ...]], bar: int) -> datetime:
    return datetime.fromtimestamp(rows[bar][0] / 1000, UTC)


def request(rows: list[tuple[float, ...]], bar: int = 900, seed: int = 1) -> gate.Request:
    return gate.Request(PAIR, HORIZON, moment(rows, bar), seed)


@pytest.mark.django_db(transaction=True)
def test_all_objectives_are_judged_and_exactly_one_serves(recorded: list[tuple[float, ...]]) -> None:
    made = gate.train(request(recorded), NOW)
    assert {row.objective for row in made} == set(Objective)
    [serving_row] = TrainedModel.objects.filter(serving=True)
    for row in made:
        assert row.reason
        assert row.parity < 1e-4
        assert len(row.folds) == fitting.FOLDS
        beats = row.metrics["sharpe"] > row.baseline["sharpe"] and (row.permutation_p or 1) < gate.SIGNIFICANT
        assert not row.serving or row.objective == Objective.BASELINE or beats
    if serving_row.objective == Objective.BASELINE:
        assert "no model beat it" in serving_row.reason


@pytest.mark.django_db(transaction=True)
def test_training_again_gives_the_same_numbers_and_the_same_file(recorded: list[tuple[float, ...]]) -> None:
    first, second = gate.train(request(recorded), NOW), gate.train(request(recorded), NOW + timedelta(hours=1))
    for one, other in zip(first, second, strict=True):
        assert (one.sha256, one.metrics, one.permutation_p) == (other.sha256, other.metrics, other.permutation_p)
    assert TrainedModel.objects.filter(serving=True).count() == 1


def test_training_looks_at_nothing_that_comes_later(recorded: list[tuple[float, ...]]) -> None:
    bars = data.bars(PAIR, moment(recorded, 700))
    assert bars.rows[-1, 0] < recorded[700][0]
    rows = data.rows(bars.rows, HORIZON)
    assert rows.at[-1] + HORIZON < len(bars.rows)
    assert np.isfinite(rows.features).all()


def test_too_few_bars_are_refused(recorded: list[tuple[float, ...]]) -> None:
    with pytest.raises(data.TooFewBars):
        gate.train(request(recorded, bar=260), NOW)


def test_a_model_that_knows_the_future_passes_the_gate(recorded: list[tuple[float, ...]]) -> None:
    rows = data.rows(data.bars(PAIR, moment(recorded, 1300)).rows, HORIZON)
    told = rows.features.copy()
    told[:, 0] = rows.follow
    seeing = fitting.walk(Objective.MAX_SHARPE, data.Rows(told, rows.follow, rows.at), HORIZON)
    blind = fitting.walk(Objective.MAX_SHARPE, rows, HORIZON)
    assert seeing.judged.hit_rate > blind.judged.hit_rate
    assert gate.said(Objective.MAX_SHARPE, seeing.judged, fitting.Judged(-9, 0.5, 0, 1), 0.001)["serving"]
    assert not gate.said(Objective.MAX_SHARPE, seeing.judged, fitting.Judged(-9, 0.5, 0, 1), 0.2)["serving"]
    assert not gate.said(Objective.MAX_SHARPE, seeing.judged, fitting.Judged(9, 0.5, 0, 1), 0.001)["serving"]


@pytest.mark.django_db(transaction=True)
def test_an_oracle_runs_what_serves_and_says_one_prediction(recorded: list[tuple[float, ...]], tmp_path: Path) -> None:
    gate.train(request(recorded), NOW)
    offered = serving.offered()
    assert offered is not None
    file = store.open_path(offered["files"][0]["sha256"])
    bars = candles.window(PAIR, moment(recorded, 900), 300)
    said = predicting.predict({"model.onnx": file}, offered, PAIR, bars)
    assert said == predicting.predict({"model.onnx": file}, offered, PAIR, bars)
    assert said["action"] in {"BUY", "SELL", "HOLD"}
    assert int(said["price"]) == round(bars[-1, 4] * 1e8)
    assert (said["target_price"] is None) == (said["action"] == "HOLD")
    assert len(said["features_sha256"]) == 64
    with pytest.raises(ValueError, match="too few"):
        predicting.predict({"model.onnx": file}, offered, PAIR, bars[-100:])


def test_the_written_file_differs_with_its_weights() -> None:
    flat = data.Scale(np.zeros(94), np.ones(94))
    one = graph.write(fitting.Fitted(flat, np.ones(94), 0.0))
    assert one == graph.write(fitting.Fitted(flat, np.ones(94), 0.0))
    assert one != graph.write(fitting.Fitted(flat, np.full(94, 2.0), 0.0))
    features = np.random.default_rng(1).standard_normal((50, 94))
    assert graph.parity(one, fitting.Fitted(flat, np.ones(94), 0.0), features) < 1e-6
    assert graph.parity(one, fitting.Fitted(flat, np.full(94, 2.0), 0.0), features) > 0.1
