"""When a plan's slices are due, and how large they are: arithmetic on rows, without a query."""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal

from apps.trading.models import Plan, Purpose

TICK, LOT = Decimal("0.01"), Decimal("0.00000001")
BP = Decimal("0.0001")
CENT = Decimal("0.01")


@dataclass(frozen=True)
class Terms:
    """What slices are made by: the venue's smallest order in USD, further attempts, and the slippage put up with."""

    least: Decimal
    attempts: int
    slippage_bp: int


@dataclass(frozen=True)
class Slice:
    """One order that is due."""

    index: int
    quantity: Decimal
    limit: Decimal


def lots(quantity: Decimal) -> Decimal:
    """Rounded down to what the venue trades in."""
    return quantity.quantize(LOT, ROUND_DOWN)


def count(usd: Decimal, smallest: Decimal, most: int) -> int:
    """How many slices of at least `smallest` USD an amount makes: those that would be smaller merge."""
    return max(1, min(most, int(usd // smallest)))


def index_at(plan: Plan, now: datetime) -> int:
    """The slice that the clock is at; negative before the plan begins."""
    return int((now - plan.starts_at).total_seconds() // plan.interval_s)


def over(plan: Plan, now: datetime, terms: Terms) -> bool:
    """Whether the planned slices and the further attempts are behind it."""
    return index_at(plan, now) >= plan.slices + terms.attempts


def rest(plan: Plan) -> Decimal:
    """What is still to be traded: the residual exposure where the plan ends."""
    return plan.quantity - plan.filled_quantity


def sellable(quantity: Decimal, price: Decimal, terms: Terms) -> bool:
    """Whether the venue takes an order of this size at this price."""
    return quantity * price >= terms.least


def exit_limit(quantity: Decimal, price: Decimal, terms: Terms) -> Decimal:
    """The lowest price at which a sale may fill: below the last one by the slippage, or as much as keeps it valid."""
    lowest = (price * (1 - terms.slippage_bp * BP)).quantize(TICK, ROUND_FLOOR)
    needed = (terms.least / quantity).quantize(TICK, ROUND_CEILING)
    return max(lowest, min(needed, price.quantize(TICK, ROUND_FLOOR)), TICK)


def entry_limit(price: Decimal, terms: Terms) -> Decimal:
    """The highest price at which a purchase may fill."""
    return (price * (1 + terms.slippage_bp * BP)).quantize(TICK, ROUND_FLOOR)


def due(plan: Plan, now: datetime, price: Decimal, sent: int | None, terms: Terms) -> Slice | None:
    """The slice that is due and was not sent, or None. `sent` is the highest index there is; `price` the last one.

    An entry buys up to its share at that time, so that what a failed or missed slice left over goes with the next; a
    slice below the venue's minimum waits for the next one, and takes a rest that would be too small by itself. An exit
    sells all there is.
    """
    index, left = index_at(plan, now), rest(plan)
    if index < 0 or (sent is not None and sent >= index) or left <= 0 or over(plan, now, terms):
        return None
    if plan.purpose == Purpose.EXIT:
        limit = exit_limit(left, price, terms)
        return Slice(index, left, limit) if sellable(left, limit, terms) else None
    limit, done = plan.limit_price, min(index + 1, plan.slices)
    quantity = lots(plan.quantity * done / plan.slices) - plan.filled_quantity
    if left - quantity > 0 and not sellable(left - quantity, limit, terms):
        quantity = left
    return Slice(index, quantity, limit) if quantity > 0 and sellable(quantity, limit, terms) else None
