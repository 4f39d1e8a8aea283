"""How a fee is shared out."""

from collections.abc import Sequence
from typing import NamedTuple

from apps.core import parameters


class FeeSplit(NamedTuple):
    """Base units for each; together the whole fee."""

    provider: int
    burn: int
    treasury: int


def split(amount: int) -> FeeSplit:
    """Share a fee in the network's proportions: floors for burn and treasury, and the rest to the provider."""
    provider, burn, treasury = (parameters.get(f"fees.{name}_percent") for name in ("provider", "burn", "treasury"))
    # Changed one after the other, the three may not sum to 100 for a moment; as proportions they still share all.
    whole = max(1, provider + burn + treasury)
    burnt, kept = amount * burn // whole, amount * treasury // whole
    return FeeSplit(amount - burnt - kept, burnt, kept)


def share(amount: int, parts: int) -> list[int]:
    """`amount` in `parts` equal shares, the first ones a unit larger where it does not divide."""
    each, rest = divmod(amount, parts)
    return [each + (i < rest) for i in range(parts)]


def proportional(amount: int, weights: Sequence[int]) -> list[int]:
    """`amount` in proportion to weights (of which one is not zero), whole units by largest remainder.

    Equal remainders are served in the order of the weights.
    """
    whole = sum(weights)
    shares = [amount * weight // whole for weight in weights]
    largest = sorted(range(len(weights)), key=lambda i: -(amount * weights[i] % whole))
    for i in largest[: amount - sum(shares)]:
        shares[i] += 1
    return shares
