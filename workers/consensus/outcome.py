"""From the oracles' observations to the one outcome: pure, integers only, the same on every machine."""

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from workers.consensus.errors import ObservationRefused
from workers.protocol import canonical

Observation = Mapping[str, Any]
Outcome = dict[str, Any]

ACTIONS = ("BUY", "SELL", "HOLD")
FIELDS = {"symbol", "action", "horizon_s", "confidence_bp", "price"}
PRICE = re.compile(r"0|[1-9][0-9]{0,29}")
LONGEST_HORIZON_S = 30 * 86_400
MOST_BP = 10_000
LONGEST_SYMBOL = 40


def check(observation: Any) -> dict[str, Any]:
    """The observation, if it is one; raises ObservationRefused.

    {symbol, action BUY | SELL | HOLD, horizon_s, confidence_bp 0…10000, price: decimal string of 10^-8 USD}.
    """
    if not isinstance(observation, Mapping) or set(observation) != FIELDS:
        raise ObservationRefused("An observation has symbol, action, horizon_s, confidence_bp and price.")
    symbol, action, price = observation["symbol"], observation["action"], observation["price"]
    if not isinstance(symbol, str) or not 0 < len(symbol) <= LONGEST_SYMBOL or action not in ACTIONS:
        raise ObservationRefused("The symbol or the action is not one.")
    if not isinstance(price, str) or not PRICE.fullmatch(price):
        raise ObservationRefused("The price is a decimal string of whole 10^-8 USD.")
    for name, most in (("horizon_s", LONGEST_HORIZON_S), ("confidence_bp", MOST_BP)):
        value = observation[name]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise ObservationRefused(f"{name} is a whole number from 0 to {most}.")
    return dict(observation)


def weighted_median(pairs: Iterable[tuple[int, int]]) -> int:
    """The lower weighted median of (value, weight > 0); at least one pair."""
    ordered = sorted(pairs)
    half = sum(weight for _, weight in ordered)
    below = 0
    for value, weight in ordered:
        below += weight
        if 2 * below >= half:
            return value
    raise ValueError("a median needs a value")


def decide(observations: Sequence[tuple[Observation, int]], round_id: str) -> Outcome:
    """The outcome of (observation, weight) pairs that agree on symbol and horizon.

    An action wins with more than half of the weight, otherwise the outcome is HOLD. Confidence and price are weighted
    medians among those who chose the winner; if nobody chose HOLD, the confidence is 0 and the price that of all.
    """
    first = observations[0][0]
    total = sum(weight for _, weight in observations)
    chosen = dict.fromkeys(ACTIONS, 0)
    for observation, weight in observations:
        chosen[observation["action"]] += weight
    action = next((name for name in ACTIONS if 2 * chosen[name] > total), "HOLD")
    winners = [pair for pair in observations if pair[0]["action"] == action]
    prices = [(int(observation["price"]), weight) for observation, weight in winners or observations]
    confidences = [(observation["confidence_bp"], weight) for observation, weight in winners]
    return {
        "symbol": first["symbol"],
        "action": action,
        "horizon_s": first["horizon_s"],
        "confidence_bp": weighted_median(confidences) if confidences else 0,
        "price": str(weighted_median(prices)),
        "round": round_id,
    }


def subject_sha256(subject: Mapping[str, Any]) -> str:
    """The hash of what the oracles are asked about."""
    return sha256(canonical.dumps(dict(subject))).hexdigest()
