"""What a rule answers."""

from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from apps.trading.risk.limits import Limits
from apps.trading.risk.picture import Facts, text


@dataclass(frozen=True)
class Check:
    """Whether a rule holds, in words, and the numbers it looked at: integers and decimal strings."""

    ok: bool
    reason: str
    inputs: dict[str, Any] = field(default_factory=dict)
    thresholds: dict[str, Any] = field(default_factory=dict)


def usd(amount: Decimal) -> str:
    """Dollars as people read them."""
    return f"-${-amount:.2f}" if amount < 0 else f"${amount:.2f}"


def percent(bp: int | Decimal) -> str:
    """Basis points as a percentage."""
    return f"{text(Decimal(bp) / 100)}%"


def parts_bp(part: Decimal, whole: Decimal) -> int:
    """A share in basis points, rounded down; of nothing, everything."""
    if whole <= 0:
        return 10_000 if part > 0 else 0
    return int((part * 10_000 / whole).to_integral_value(ROUND_FLOOR))


__all__ = ["Check", "Facts", "Limits", "parts_bp", "percent", "text", "usd"]
