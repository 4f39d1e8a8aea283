"""What an oracle sees for itself in a round's measurements: its observation, and what the served model says."""

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.consensus.errors import ObservationRefused

Prediction = dict[str, Any]
Predict = Callable[[Mapping[str, Any], str, NDArray[Any]], Prediction | None]
UNITS, BP = 10**8, 10_000
BASELINE = "baseline"
ACTIONS = {1: "BUY", -1: "SELL"}


def observe(start: Mapping[str, Any], predict: Predict | None = None) -> tuple[dict[str, Any], Prediction | None]:
    """The observation {symbol, action, horizon_s, confidence_bp, price} and the model's prediction, where one serves.

    The oracle runs the detectors on the series itself. It holds where it does not see the signal that was claimed, or
    where a model that beat its baseline says the opposite. Raises ObservationRefused where it cannot look at all.
    """
    try:
        return _observe(start, predict)
    except (KeyError, ValueError, TypeError, ArithmeticError) as error:
        raise ObservationRefused(f"There is nothing to observe: {error}") from error


def _observe(start: Mapping[str, Any], predict: Predict | None) -> tuple[dict[str, Any], Prediction | None]:
    subject, given = start["subject"], start["observe"]
    bars = np.array([[float(value) for value in bar] for bar in given["candles"]], np.float64)
    if bars.ndim != 2 or not len(bars):
        raise ValueError("the round came without candles")
    symbol = str(subject["symbol"])
    action, confidence = seen(given)
    prediction = predict(given["model"], symbol, bars) if predict and given.get("model") else None
    if prediction is not None and against(given["model"], prediction, action):
        action, confidence = "HOLD", 0
    observation = {
        "symbol": symbol,
        "action": action,
        "horizon_s": int(subject["horizon_s"]),
        "confidence_bp": confidence,
        "price": str(int(Decimal(str(given["candles"][-1][4])) * UNITS)),
    }
    return observation, prediction


def seen(given: Mapping[str, Any]) -> tuple[str, int]:
    """The claimed signal as the oracle's own detectors find it: (action, confidence in basis points)."""
    from workers.kernels import detectors
    from workers.kernels.detection import MeasurementRefused

    series, claimed = given["series"], given["signal"]
    rtts = [math.nan if rtt is None else float(rtt) for rtt in series["rtts"]]
    times = [float(moment) for moment in series["times_s"]]
    try:
        said = [detectors.zscore(rtts), detectors.trend_shift(rtts, times)]
        if len(rtts) > 1:
            said.append(detectors.route_change(series["hops_before"], series["hops_now"]))
    except MeasurementRefused:
        return "HOLD", 0
    found = [each for each in said if each is not None]
    both = detectors.composite(found)
    for detection in [*found, *([both] if both else [])]:
        if detection.kind == claimed["kind"] and (detection.direction > 0) == (claimed["direction"] == "LONG"):
            return ACTIONS[detection.direction], round(detection.confidence * BP)
    return "HOLD", 0


def against(model: Mapping[str, Any], prediction: Prediction, action: str) -> bool:
    """Whether a model that beat its baseline says the opposite. The baseline has no say."""
    opposite = {"BUY": "SELL", "SELL": "BUY"}.get(action)
    return str(model["manifest"]["objective"]) != BASELINE and str(prediction["action"]) == opposite
