"""The limits that hold now: the common ones and those of the profile, all of them governed parameters."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from apps.core import parameters

CENT = Decimal("0.01")
BP = Decimal("0.0001")


@dataclass(frozen=True)
class Limits:
    """Every limit by the name of its parameter; cents, basis points and seconds. None: not one of this profile."""

    profile: str
    pairs: str
    capital_cents: int
    min_trade_cents: int
    signal_confidence_bp: int
    execute_confidence_bp: int
    min_hold_s: int
    take_profit_bp: int
    stop_loss_bp: int
    cooldown_s: int
    accuracy_pause_bp: int
    accuracy_window_s: int
    accuracy_min_n: int
    accuracy_level_bp: int
    max_leverage_bp: int
    fee_bp: int
    require_positive_ev: bool
    venue_minimum_cents: int
    exit_margin_bp: int
    max_price_age_s: int
    max_open: int
    # Playbook
    max_trade_cents: int | None = None
    daily_loss_cents: int | None = None
    size_bp: int | None = None
    size_slope_milli: int | None = None
    size_from_bp: int | None = None
    # Institutional
    max_position_bp: int | None = None
    daily_loss_bp: int | None = None
    drawdown_bp: int | None = None
    correlation_bp: int | None = None
    breaker_bp: int | None = None
    breaker_cooldown_s: int | None = None
    kelly_bp: int | None = None
    reject_score: int | None = None
    weight_confidence: int | None = None
    weight_size: int | None = None
    weight_volatility: int | None = None
    weight_concentration: int | None = None
    weight_drawdown: int | None = None
    volatility_full_bp: int | None = None

    def daily_loss(self, capital: Decimal) -> Decimal:
        """USD that one market day may lose."""
        if self.daily_loss_cents is not None:
            return self.daily_loss_cents * CENT
        assert self.daily_loss_bp is not None  # noqa: S101  one of both belongs to every profile
        return capital * self.daily_loss_bp * BP

    def max_trade(self, equity: Decimal) -> Decimal:
        """USD of the largest entry."""
        if self.max_trade_cents is not None:
            return self.max_trade_cents * CENT
        assert self.max_position_bp is not None  # noqa: S101  one of both belongs to every profile
        return max(equity, Decimal(0)) * self.max_position_bp * BP

    @property
    def allowed_pairs(self) -> tuple[str, ...]:
        """The pairs that may be entered."""
        return tuple(pair.strip() for pair in self.pairs.split(",") if pair.strip())


def current() -> Limits:
    """The limits as the network has them now."""
    return of(parameters.get("risk.profile"), parameters.get)


def of(profile: str, read: Callable[[str], Any]) -> Limits:
    """The limits of a profile: its own parameters where it has them, else the common ones."""
    found = {}
    for field in fields(Limits):
        for name in (f"risk.{profile}.{field.name}", f"risk.{field.name}"):
            if name in parameters.PARAMETERS:
                found[field.name] = read(name)
                break
    return Limits(**found | {"profile": profile})
