"""The model that the platform serves, fetched into the node's cache and run for a round."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from workers.node.cache import ArtifactCache
from workers.node.errors import NodeError

logger = logging.getLogger("node.oracle")
Predict = Callable[[Mapping[str, Any], str, NDArray[Any]], dict[str, Any] | None]


def prediction_of(cache: ArtifactCache) -> Predict:
    """A function (offered model, symbol, bars (n, 6)) → MLPrediction, or None where the model cannot be run here."""

    def predict(model: Mapping[str, Any], symbol: str, bars: NDArray[Any]) -> dict[str, Any] | None:
        from workers.engines import EngineError
        from workers.node import predicting

        try:
            files: dict[str, Path] = {
                str(file["name"]): cache.fetch(str(file["url"]), str(file["sha256"]), int(file["size"]))
                for file in model["files"]
            }
            return predicting.predict(files, model, symbol, bars)
        except (EngineError, NodeError, ValueError, KeyError, TypeError) as error:
            # It costs the round nothing: the oracle's own detectors vote.
            logger.warning("The model was not run", extra={"error": str(error)[:200]})
            return None

    return predict
