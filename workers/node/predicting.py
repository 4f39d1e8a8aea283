"""Running the served model over the newest bar's 94 features: one MLPrediction."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.engines.sessions import open_session

BP = 10_000
UNITS = 10**8


def predict(
    files: Mapping[str, Path], offered: Mapping[str, Any], symbol: str, bars: NDArray[np.float64]
) -> dict[str, Any]:
    """The prediction from bars (n, 6), oldest first: opened (unix ms), open, high, low, close, volume.

    Integers and decimal strings only, since it is signed: confidence in basis points, prices in 10^-8 USD. The action
    is HOLD where the model was right no more often than a coin. Raises ValueError where the bars do not suffice.
    """
    from workers.kernels import features

    rows = features.compute(*(np.ascontiguousarray(bars[:, i]) for i in range(1, 6)))
    newest = rows[-1] if len(rows) else np.full(1, np.nan)
    if not np.isfinite(newest).all():
        raise ValueError(f"{len(bars)} bars are too few for all features")
    session = open_session(files["model.onnx"])
    [score] = session.run(["score"], {"features": newest[None, :].astype(np.float32)})
    manifest = offered["manifest"]
    confidence, up = int(manifest["confidence_bp"]), float(score[0, 0]) > 0
    held = confidence <= BP // 2
    price = round(float(bars[-1, 4]) * UNITS)
    sign = 1 if up else -1
    return {
        "symbol": symbol,
        "action": "HOLD" if held else "BUY" if up else "SELL",
        "confidence_bp": confidence,
        "price": str(price),
        "target_price": None if held else str(price + sign * price * int(manifest["take_profit_bp"]) // BP),
        "stop_loss": None if held else str(price - sign * price * int(manifest["stop_loss_bp"]) // BP),
        "horizon_s": int(manifest["horizon_s"]),
        "features_sha256": features.digest(newest),
        "model": str(offered["name"]),
        "version": str(offered["version"]),
        "market_at": int(bars[-1, 0]) + 60_000,
        "reasoning": f"{manifest['objective']}: score {float(score[0, 0]):+.4g}, right {confidence / 100:.1f}% of the "
        f"time out of sample.",
    }
