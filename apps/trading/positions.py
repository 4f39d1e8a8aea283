"""Positions: what fills make of them, and what they are worth."""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from django.db.models import QuerySet

from apps.core import events
from apps.trading.exchange.port import VenueTrade
from apps.trading.models import Plan, Position, Purpose
from apps.trading.models.orders import PLACES
from apps.trading.risk import exit_prices, facts
from workers.protocol.ids import new_id

UNIT = Decimal(1).scaleb(-PLACES)
ZERO = Decimal(0)


@dataclass(frozen=True)
class Mark:
    """What trading is worth at one market time, USD. Results of closed positions are part of the capital."""

    capital: Decimal
    cash: Decimal
    exposure: Decimal
    equity: Decimal
    unrealised: Decimal
    realised_today: Decimal
    today: Decimal


def open() -> QuerySet[Position]:  # noqa: A001  read as positions.open()
    """Those that are held."""
    return Position.objects.filter(closed_at=None).order_by("opened_at", "pk")


def mark(now: datetime) -> Mark:
    """Equity, cash and results at market time `now` as risk counts them: a position is worth what selling it leaves."""
    found = facts.gather("", now)
    exposure = sum((held.value_usd for held in found.held), ZERO)
    return Mark(
        capital=found.capital,
        cash=cash(found.capital),
        exposure=exposure,
        equity=found.equity,
        unrealised=found.unrealised,
        realised_today=found.realised_today,
        today=found.realised_today + found.unrealised,
    )


def cash(capital: Decimal) -> Decimal:
    """Dollars not bound in positions: capital and results less what the open ones have cost so far."""
    return capital - sum((row.cost_usd + row.fees_usd - row.proceeds_usd for row in open()), ZERO)


def book(plan: Plan, trade: VenueTrade, wall: datetime) -> Position:
    """Take one new fill of a plan into its position. The plan's row is locked; call it once for each fill."""
    if plan.purpose == Purpose.EXIT:
        return _sold(plan, trade, wall)
    return _bought(plan, trade, wall)


def _bought(plan: Plan, trade: VenueTrade, wall: datetime) -> Position:
    row = _locked(plan.position_id)
    usd = (trade.quantity * trade.price).quantize(UNIT, ROUND_HALF_UP)
    if row is None or row.closed_at is not None:
        # A fill that was learnt of after everything else was sold is a position of its own.
        row = Position(
            id=new_id("pos", wall),
            pair=plan.pair,
            signal_id=plan.signal_id,
            quantity=ZERO,
            cost_usd=ZERO,
            fees_usd=ZERO,
            proceeds_usd=ZERO,
            opened_at=trade.at,
        )
    bought = row.cost_usd / row.entry_price if row.entry_price else ZERO
    row.quantity += trade.quantity
    row.cost_usd += usd
    row.fees_usd += trade.fee_usd
    row.entry_price = (row.cost_usd / (bought + trade.quantity)).quantize(UNIT, ROUND_HALF_UP)
    profit, stop = exit_prices(row.entry_price)
    row.take_profit, row.stop_loss = profit.quantize(UNIT), stop.quantize(UNIT)
    opened = row._state.adding
    row.save()
    if opened:
        plan.position = row
        plan.save(update_fields=["position"])
        data = {"pair": row.pair, "entry_price": str(row.entry_price)}
        events.emit("trading.position_opened", subject=row.pk, topics=["desk"], data=data, now=wall)
    return row


def _sold(plan: Plan, trade: VenueTrade, wall: datetime) -> Position:
    row = _locked(plan.position_id)
    if row is None:
        raise Position.DoesNotExist(f"Plan {plan.pk} sells no position.")
    row.quantity -= trade.quantity
    row.proceeds_usd += (trade.quantity * trade.price).quantize(UNIT, ROUND_HALF_UP)
    row.fees_usd += trade.fee_usd
    if row.quantity == 0:
        row.closed_at = trade.at
        row.exit_reason = plan.reason.partition(":")[0][:40]
        row.realised_pnl = row.proceeds_usd - row.cost_usd - row.fees_usd
        data = {"pair": row.pair, "realised_pnl": str(row.realised_pnl), "reason": row.exit_reason}
        events.emit("trading.position_closed", subject=row.pk, topics=["desk"], data=data, now=wall)
    row.save()
    return row


def _locked(pk: str | None) -> Position | None:
    """The position, locked after its plan: fills of an entry and of an exit may come at the same time."""
    return Position.objects.select_for_update().filter(pk=pk).first() if pk else None
