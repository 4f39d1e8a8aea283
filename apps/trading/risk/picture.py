"""What the rules look at: one picture of trading, and what is asked of it. No queries here; facts.py reads it."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from apps.trading.risk.market import Price

ZERO = Decimal(0)


@dataclass(frozen=True)
class Held:
    """An open position at the last price. `pnl_usd` is what closing it now would have made, fees of both sides paid."""

    id: str
    pair: str
    signal_id: str | None
    quantity: Decimal
    cost_usd: Decimal
    value_usd: Decimal
    pnl_usd: Decimal
    stopped_pnl_usd: Decimal
    opened_at: datetime
    selling: bool


@dataclass(frozen=True)
class Reserved:
    """What may still be bought: an allowed signal that has no plan yet, or what an entry plan has not filled."""

    id: str
    pair: str
    usd: Decimal
    at: datetime
    needs_slot: bool


@dataclass(frozen=True)
class Asked:
    """What is to be decided: a signal, or one order of its plan.

    `usd` is the whole entry of a signal, and at an order all that its plan will have bought with it; `order_usd` is
    the one order and `quantity` its coins, of which `holding` are there to sell.
    """

    stage: str
    side: str
    confidence_bp: int = 0
    usd: Decimal = ZERO
    order_usd: Decimal = ZERO
    quantity: Decimal = ZERO
    holding: Decimal = ZERO
    approved_usd: Decimal | None = None
    signal_id: str | None = None
    signal_at: datetime | None = None
    expires_at: datetime | None = None
    active: bool = True
    certified: bool = False
    closing: bool = False


@dataclass(frozen=True)
class Facts:
    """One picture of trading for one pair at one market time. Amounts are USD; a loss is positive."""

    pair: str
    now: datetime
    state: str
    state_rule: str
    state_reason: str
    price: Price | None
    capital: Decimal
    equity: Decimal
    realised_today: Decimal
    unrealised: Decimal
    peak: Decimal
    recent_peak: Decimal
    held: tuple[Held, ...]
    reserved: tuple[Reserved, ...]
    last_trade_at: datetime | None
    judged: int
    correct: int
    fee_bp: int
    venue_minimum: Decimal
    volatility_bp: int | None = None
    correlations_bp: dict[str, int | None] = field(default_factory=dict)
    asked: Asked = Asked(stage="exit", side="SELL")

    @property
    def loss_today(self) -> Decimal:
        """Realised results of the day and open losses; open profit hides no loss, and profit is no loss."""
        return max(ZERO, -(self.realised_today + min(self.unrealised, ZERO)))

    @property
    def others(self) -> list[Held]:
        """Positions but the one that is asked about, whose whole size is in the question."""
        own = self.asked.signal_id
        return [held for held in self.held if own is None or held.signal_id != own]

    @property
    def exposure(self) -> Decimal:
        """What is held at cost, and what may still be bought."""
        return sum((held.cost_usd for held in self.others), ZERO) + sum((item.usd for item in self.reserved), ZERO)

    def exposure_of(self, pair: str) -> Decimal:
        """The same of one pair."""
        held = sum((held.cost_usd for held in self.others if held.pair == pair), ZERO)
        return held + sum((item.usd for item in self.reserved if item.pair == pair), ZERO)

    @property
    def slots(self) -> int:
        """Positions that are open or may still open."""
        return len(self.others) + sum(item.needs_slot for item in self.reserved)

    @property
    def stopped_loss_today(self) -> Decimal:
        """What the day would have lost if everything that is held or reserved were stopped out."""
        held = sum((min(held.pnl_usd, held.stopped_pnl_usd, ZERO) for held in self.held), ZERO)
        return max(ZERO, -(self.realised_today + held))

    def free(self) -> list[Held]:
        """Positions of the pair that nobody is selling yet, the oldest first."""
        return sorted(
            (held for held in self.held if held.pair == self.pair and not held.selling), key=lambda held: held.opened_at
        )

    def summary(self) -> dict[str, Any]:
        """The facts as canonical JSON takes them."""
        return {
            "state": str(self.state),
            "state_rule": self.state_rule,
            "price": text(self.price.usd) if self.price else None,
            "price_at": self.price.at.isoformat() if self.price else None,
            "capital_usd": text(self.capital),
            "equity_usd": text(self.equity),
            "peak_usd": text(self.peak),
            "realised_today_usd": text(self.realised_today),
            "unrealised_usd": text(self.unrealised),
            "exposure_usd": text(self.exposure),
            "slots": self.slots,
            "held": [{"position": held.id, "pair": held.pair, "cost_usd": text(held.cost_usd)} for held in self.held],
            "reserved": [{"of": item.id, "pair": item.pair, "usd": text(item.usd)} for item in self.reserved],
            "judged": self.judged,
            "correct": self.correct,
            "fee_bp": self.fee_bp,
            "venue_minimum_usd": text(self.venue_minimum),
        }


def text(amount: Decimal) -> str:
    """A decimal without exponent or needless zeros."""
    plain = f"{amount:f}"
    return (plain.rstrip("0").rstrip(".") or "0") if "." in plain else plain
