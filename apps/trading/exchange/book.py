"""The paper exchange's book: derived from the last complete minute by one stated rule, and walked by orders.

A candle holds no book, so this is an assumption, kept on the careful side. With range = high - low of the minute:

- the middle is the close, and the spread is `spread_bp` of the range, at least two ticks;
- each side offers `depth_bp` of the minute's volume, in ten equal levels from the best price to half a range beyond it;
- while an order is under way the price moves against it by half a range times the square root of its share of the
  minute, and it fills `slippage_bp` worse than the book says on top of that;
- what earlier orders of ours took of the same minute is gone.

All is rounded against us: prices to the worse tick, depth down to whole lots. The same input gives the same fills.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

LEVELS = 10
MINUTE_MS = 60_000
BP = Decimal("0.0001")
ZERO = Decimal(0)


@dataclass(frozen=True)
class Bar:
    """The last complete minute: USD per coin, and coins."""

    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    @property
    def range(self) -> Decimal:
        """How far the price went within the minute."""
        return self.high - self.low


@dataclass(frozen=True)
class Rules:
    """The assumptions, and the market's smallest steps."""

    tick: Decimal
    lot: Decimal
    spread_bp: int
    depth_bp: int
    slippage_bp: int


@dataclass(frozen=True)
class Level:
    """So much at this price."""

    price: Decimal
    quantity: Decimal


def to_step(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    """The multiple of `step` next to `value` in the direction of `rounding`."""
    return (value / step).to_integral_value(rounding) * step


def ladder(bar: Bar, rules: Rules, side: str, latency_ms: int) -> list[Level]:
    """What an order of this side meets when it arrives, best price first."""
    sign, rounding = (1, ROUND_CEILING) if side == "BUY" else (-1, ROUND_FLOOR)
    share = (Decimal(latency_ms) / MINUTE_MS).sqrt()
    against = bar.range / 2 * share + bar.close * rules.slippage_bp * BP
    best = max(rules.tick, bar.range * rules.spread_bp * BP / 2)
    step = max(rules.tick, bar.range / 2 / LEVELS)
    each = to_step(bar.volume * rules.depth_bp * BP / LEVELS, rules.lot, ROUND_FLOOR)
    prices = [to_step(bar.close + sign * (against + best + n * step), rules.tick, rounding) for n in range(LEVELS)]
    return [Level(price, each) for price in prices if price > 0 and each > 0]


def walk(levels: Sequence[Level], quantity: Decimal, limit: Decimal, side: str, gone: Decimal = ZERO) -> list[Level]:
    """The fills of an order, from the best level on and not beyond its limit; `gone` was taken before, best first."""
    fills = []
    for level in levels:
        if level.price > limit if side == "BUY" else level.price < limit:
            break
        taken = min(gone, level.quantity)
        gone -= taken
        part = min(quantity, level.quantity - taken)
        if part > 0:
            fills.append(Level(level.price, part))
            quantity -= part
        if quantity <= 0:
            break
    return fills
