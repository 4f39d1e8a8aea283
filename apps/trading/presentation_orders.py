"""What pages show of plans, their orders and fills, and of positions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from apps.trading.models import Fill, Order, Plan, PlanStatus, Position, Purpose, Reconciliation
from apps.trading.presentation import NONE, Listing, Offered, filters, listing, price, quantity, tone, usd, used
from apps.trading.risk.picture import Facts

ORDERS_ON_DESK = 8
CLOSED_ON_DESK = 5


@dataclass(frozen=True)
class PlanRow:
    """One plan's line."""

    id: str
    purpose: str
    pair: str
    side: str
    algorithm: str
    status: str
    quantity: str
    limit: str
    average: str
    filled: str
    percent: int
    fees: str
    reason: str
    next_step: str
    starts_at: datetime
    slices: str

    @classmethod
    def of(cls, plan: Plan) -> "PlanRow":
        """The line of a plan."""
        done = plan.filled_quantity
        return cls(
            id=plan.pk,
            purpose=plan.get_purpose_display(),
            pair=plan.pair,
            side=plan.side,
            algorithm=plan.algorithm,
            status=plan.status,
            quantity=quantity(plan.quantity),
            limit=price(plan.limit_price),
            average=price(plan.filled_usd / done) if done else NONE,
            filled=quantity(done),
            percent=int(100 * done / plan.quantity) if plan.quantity else 0,
            fees=usd(plan.fees_usd),
            reason=plan.reason,
            next_step=plan.next_step,
            starts_at=plan.starts_at,
            slices=_("%(slices)d every %(seconds)d s") % {"slices": plan.slices, "seconds": plan.interval_s},
        )


@dataclass(frozen=True)
class OrderRow:
    """One order's line; `fills` are its executions."""

    id: str
    slice: int
    side: str
    status: str
    quantity: str
    limit: str
    filled: str
    percent: int
    average: str
    slippage: str
    fee: str
    venue: str
    venue_order_id: str
    reason: str
    market_at: datetime
    fills: list[dict[str, Any]]

    @classmethod
    def of(cls, order: Order) -> "OrderRow":
        """The line of an order whose fills were fetched with it."""
        done = order.filled_quantity
        average = order.filled_usd / done if done else None
        return cls(
            id=order.pk,
            slice=order.slice + 1,
            side=order.side,
            status=order.status,
            quantity=quantity(order.quantity),
            limit=price(order.limit_price),
            filled=quantity(done),
            percent=int(100 * done / order.quantity) if order.quantity else 0,
            average=price(average),
            slippage="" if average is None else basis_points(average, order.limit_price),
            fee=usd(order.fee_usd),
            venue=order.venue,
            venue_order_id=order.venue_order_id,
            reason=order.reason,
            market_at=order.market_at,
            fills=[fill_line(fill) for fill in order.fills.all()],
        )


@dataclass(frozen=True)
class PositionRow:
    """One position's line."""

    id: str
    pair: str
    quantity: str
    entry: str
    last: str
    take_profit: str
    stop_loss: str
    pnl: str
    tone: str
    opened_at: datetime
    closed_at: datetime | None
    exit_reason: str
    signal: str


def fill_line(fill: Fill) -> dict[str, Any]:
    """One execution."""
    return {
        "id": fill.venue_fill_id,
        "quantity": quantity(fill.quantity),
        "price": price(fill.price),
        "fee": usd(fill.fee_usd),
        "at": fill.market_at,
    }


def basis_points(paid: Decimal, limit: Decimal) -> str:
    """How far the average fill lies from the limit, in basis points."""
    return f"{(paid - limit) / limit * 10_000:+.1f}" if limit else ""


def plans(query: Mapping[str, str]) -> Listing:
    """One page of plans, filtered by status, purpose and pair."""
    known: list[Offered] = [
        ("status", _("Status"), _("Any status"), PlanStatus.choices),
        ("purpose", _("Purpose"), _("Any purpose"), Purpose.choices),
        ("pair", _("Pair"), _("Any pair"), used(Plan.objects.all(), "pair")),
    ]
    found = listing(Plan.objects.order_by("-created_at"), filters(known, query), query.get("page"))
    found.page.object_list = [PlanRow.of(plan) for plan in found.page.object_list]
    return found


def recent_plans() -> list[PlanRow]:
    """The newest plans."""
    return [PlanRow.of(plan) for plan in Plan.objects.order_by("-created_at")[:ORDERS_ON_DESK]]


def books() -> Reconciliation | None:
    """The last comparison of our books with the venue's."""
    return Reconciliation.objects.first()


def plan_detail(plan: Plan) -> dict[str, Any]:
    """The context of a plan's page."""
    orders = plan.orders.prefetch_related("fills").order_by("slice", "prepared_at")
    return {
        "plan": plan,
        "row": PlanRow.of(plan),
        "orders": [OrderRow.of(order) for order in orders],
        "decisions": list(plan.decisions.order_by("-created_at")[:50]),
    }


def open_positions(facts: Facts, prices: Mapping[str, float | None]) -> list[PositionRow]:
    """What is held, at the last price and after the fees of both sides."""
    results = {held.id: held.pnl_usd for held in facts.held}
    rows = Position.objects.filter(closed_at=None).order_by("opened_at")
    return [position(row, results.get(row.pk), prices.get(row.pair)) for row in rows]


def closed_positions() -> list[PositionRow]:
    """What was held last, with its result."""
    rows = Position.objects.filter(closed_at__isnull=False).order_by("-closed_at")[:CLOSED_ON_DESK]
    return [position(row, row.realised_pnl, None) for row in rows]


def position(row: Position, pnl: Decimal | None, last: float | None) -> PositionRow:
    """One position's line."""
    return PositionRow(
        id=row.pk,
        pair=row.pair,
        quantity=quantity(row.quantity),
        entry=price(row.entry_price),
        last=price(last),
        take_profit=price(row.take_profit),
        stop_loss=price(row.stop_loss),
        pnl=usd(pnl, signed=True),
        tone=tone(pnl),
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        exit_reason=row.exit_reason.replace("_", " "),
        signal=row.signal_id or "",
    )
