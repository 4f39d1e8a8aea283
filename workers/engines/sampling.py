"""Choosing the next token from the likeliest ones, by Ollama's names: temperature, top_k, top_p, seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workers.engines.base import PayloadRefused

TOP_K = 40
NUM_PREDICT = 128


@dataclass(frozen=True)
class Options:
    """How to generate; a temperature of 0, the default, always takes the likeliest token."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = TOP_K
    num_predict: int = NUM_PREDICT
    stop: tuple[str, ...] = ()
    seed: int | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Options":
        """Raises PayloadRefused for a value that is out of range or of another type."""
        stop = given.get("stop", [])
        if not isinstance(stop, list) or not all(isinstance(text, str) and text for text in stop):
            raise PayloadRefused("stop is a list of texts.")
        try:
            seed = given.get("seed")
            options = cls(
                temperature=float(given.get("temperature", 0.0)),
                top_p=float(given.get("top_p", 1.0)),
                top_k=int(given.get("top_k", TOP_K)),
                num_predict=int(given.get("num_predict", NUM_PREDICT)),
                stop=tuple(stop),
                seed=None if seed is None else int(seed),
            )
        except (TypeError, ValueError) as error:
            raise PayloadRefused(f"An option is not of its type: {error}") from error
        if not (0 <= options.temperature <= 2 and 0 <= options.top_p <= 1 and options.top_k >= 1):
            raise PayloadRefused("temperature is from 0 to 2, top_p from 0 to 1, top_k at least 1.")
        if options.num_predict < 1:
            raise PayloadRefused("num_predict is at least 1.")
        return options


def choose(tokens: np.ndarray, logits: np.ndarray, options: Options, random: np.random.Generator) -> int:
    """One of the candidates: `tokens` int64 (n,), `logits` float32 (n,), in any order.

    Of equal logits the lowest token id comes first, so that the order of the candidates never matters.
    """
    order = np.lexsort((tokens, -logits))
    tokens, logits = tokens[order], logits[order]
    if options.temperature == 0:
        return int(tokens[0])
    logits = logits[: options.top_k].astype(np.float64) / options.temperature
    weights = np.exp(logits - logits[0])
    weights /= weights.sum()
    # The token that crosses top_p is kept, as in Holtzman et al. 2020.
    kept = int(np.searchsorted(np.cumsum(weights), options.top_p)) + 1
    weights = weights[:kept] / weights[:kept].sum()
    return int(random.choice(tokens[: len(weights)], p=weights))
