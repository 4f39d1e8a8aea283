"""One order's way: prepared and stored, sent once, asked for by its id until its outcome is known, and booked.

    PREPARED → UNKNOWN → OPEN → FILLED | PARTIAL | CANCELLED | REJECTED

An order is UNKNOWN from just before it is sent until the venue's answer is stored. Whatever cuts this short leaves a
row that says what may have happened; the venue is then asked, and the order is never sent again.
"""

import hashlib
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Max

from apps.core import events, parameters
from apps.trading import candles, positions, risk
from apps.trading.exchange import port
from apps.trading.execution_schedule import CENT, Terms, due, rest
from apps.trading.models import Fill, Order, OrderStatus, Plan, PlanStatus, Verdict
from apps.trading.models.orders import PLACES
from apps.trading.risk import states

UNDECIDED = (OrderStatus.PREPARED, OrderStatus.UNKNOWN, OrderStatus.OPEN)
FINAL = {OrderStatus.FILLED, OrderStatus.PARTIAL, OrderStatus.CANCELLED, OrderStatus.REJECTED}
MOVES: dict[str, set[str]] = {
    OrderStatus.PREPARED: {OrderStatus.UNKNOWN, OrderStatus.OPEN, *FINAL},
    OrderStatus.UNKNOWN: {OrderStatus.OPEN, *FINAL},
    OrderStatus.OPEN: {OrderStatus.OPEN, *FINAL},
}
RULE = "order_unknown"
UNIT = Decimal(1).scaleb(-PLACES)
ZERO = Decimal(0)


def terms() -> Terms:
    """What slices are made by, as the network has it now."""
    return Terms(
        least=parameters.get("risk.venue_minimum_cents") * CENT,
        attempts=parameters.get("trading.attempts"),
        slippage_bp=parameters.get("trading.max_slippage_bp"),
    )


def order_id(plan: Plan, index: int) -> str:
    """The client id: a hash of signal, leg and slice, so that a slice has one for ever."""
    text = f"{plan.signal_id}|{plan.purpose}|{plan.pk}|{index}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@transaction.atomic(durable=True)
def prepare(plan_id: str, now: datetime, wall: datetime) -> Order | None:
    """Store the order that is due, as risk decides, before anything is sent; None where none is due.

    A refused one is stored as well: its slice is spent, its quantity goes with the next. The lock on the state comes
    first, as in every decision; the plan's lock keeps a second executor from preparing the same slice.
    """
    states.locked()
    plan = Plan.objects.select_for_update().get(pk=plan_id)
    price = candles.price_at(plan.pair, now)
    if plan.status != PlanStatus.RUNNING or price is None:
        return None
    if Order.objects.filter(plan=plan, status__in=UNDECIDED).exists():
        return None
    sent = Order.objects.filter(plan=plan).aggregate(index=Max("slice"))["index"]
    wanted = due(plan, now, Decimal(repr(price)), sent, terms())
    if wanted is None:
        return None
    decision = risk.check_order(plan, wanted.quantity, wanted.limit, now, wall)
    refused = decision.verdict == Verdict.REFUSE
    return Order.objects.create(
        id=order_id(plan, wanted.index),
        plan=plan,
        slice=wanted.index,
        side=plan.side,
        quantity=wanted.quantity,
        limit_price=wanted.limit,
        status=OrderStatus.REJECTED if refused else OrderStatus.PREPARED,
        reason=f"Risk: {decision.reason}"[:300] if refused else "",
        market_at=now,
        prepared_at=wall,
        finished_at=wall if refused else None,
    )


def dispatch(order: Order, exchange: Any, now: datetime, wall: datetime) -> None:
    """Send a prepared order, once, and book what comes back.

    Compare-and-set: only who turns PREPARED into UNKNOWN may send, and only while the plan runs.
    """
    marked = Order.objects.filter(pk=order.pk, status=OrderStatus.PREPARED, plan__status=PlanStatus.RUNNING).update(
        status=OrderStatus.UNKNOWN, sent_at=wall
    )
    if marked:
        answer = port.send(exchange, order, time_in_force(order))
        settle(order.pk, answer, exchange.settles_s, now, wall)


def time_in_force(order: Order) -> str:
    """All or nothing where a part could be too small to be traded on; else as much as there is at once."""
    return "FOK" if order.quantity * order.limit_price < 2 * terms().least else "IOC"


def resolve(exchange: Any, now: datetime, wall: datetime) -> int:
    """Ask for every order whose outcome is not known, also of plans that have ended; returns how many remain unknown.

    While one is unknown trading is reducing: what is held and owed is not known either.
    """
    for order in Order.objects.filter(status__in=UNDECIDED).select_related("plan").order_by("prepared_at", "pk"):
        settle(order.pk, port.ask(exchange, order), exchange.settles_s, now, wall)
    unknown = Order.objects.filter(status=OrderStatus.UNKNOWN).count()
    if unknown:
        words = f"The outcome of {unknown} order{'s are' if unknown > 1 else ' is'} unknown at the venue."
        states.reduce(RULE, words, now, wall, "The venue is asked again; entries go on when it has answered.")
    else:
        states.relieve(RULE, "Every order's outcome is known.", now, wall)
    return unknown


def settle(order_id: str, answer: port.Answer, settles_s: int, now: datetime, wall: datetime) -> None:
    """Store what the venue answered about an order."""
    if answer.outcome == port.UNKNOWN:
        Order.objects.filter(pk=order_id, status__in=UNDECIDED).update(reason=answer.reason)
        states.reduce(RULE, f"The outcome of order {order_id} is unknown: {answer.reason}"[:300], now, wall)
        return
    reduced = _stored(order_id, answer, settles_s, wall)
    if reduced:
        states.reduce(RULE, reduced[:300], now, wall)


@transaction.atomic(durable=True)
def _stored(order_id: str, answer: port.Answer, settles_s: int, wall: datetime) -> str:
    """Book an answer in one transaction, its plan locked before it; returns why it could not be, if so."""
    plan = Plan.objects.select_for_update().get(orders=order_id)
    order = Order.objects.select_for_update().get(pk=order_id)
    if order.status in FINAL:
        return ""
    if answer.outcome == port.MISSING:
        if order.sent_at is None:
            _move(order, OrderStatus.CANCELLED, "It was never sent.", wall)
        elif wall - order.sent_at >= timedelta(seconds=settles_s):
            _move(order, OrderStatus.CANCELLED, "It never reached the venue.", wall)
        return ""
    if answer.outcome == port.REJECTED:
        order.venue_order_id = answer.venue_order_id
        _move(order, OrderStatus.REJECTED, answer.reason, wall)
        return ""
    if sum((fill.quantity for fill in answer.fills), ZERO) > order.quantity:
        return f"The venue reports more filled than order {order_id} asked for."
    _book(plan, order, answer, wall)
    return ""


def _book(plan: Plan, order: Order, answer: port.Answer, wall: datetime) -> None:
    """Fills that are new, the sums of order and plan, the position, and the order's status."""
    known = set(order.fills.values_list("venue_fill_id", flat=True))
    for trade in answer.fills:
        fill_id = f"{order.venue}:{trade.id}"
        if fill_id in known:
            continue
        Fill.objects.create(
            order=order,
            venue_fill_id=fill_id,
            quantity=trade.quantity,
            price=trade.price,
            fee_usd=trade.fee_usd,
            market_at=trade.at,
        )
        usd = (trade.quantity * trade.price).quantize(UNIT)
        order.filled_quantity += trade.quantity
        order.filled_usd += usd
        order.fee_usd += trade.fee_usd
        plan.filled_quantity += trade.quantity
        plan.filled_usd += usd
        plan.fees_usd += trade.fee_usd
        positions.book(plan, trade, wall)
    plan.save(update_fields=["filled_quantity", "filled_usd", "fees_usd"])
    order.venue_order_id = answer.venue_order_id
    _move(order, _status(order, answer.status), answer.reason, wall)


def _status(order: Order, at_venue: str) -> str:
    """Our word for what the venue says."""
    if order.filled_quantity == order.quantity:
        return OrderStatus.FILLED
    if at_venue == "open":
        return OrderStatus.OPEN
    return OrderStatus.PARTIAL if order.filled_quantity else OrderStatus.CANCELLED


def _move(order: Order, status: str, reason: str, wall: datetime) -> None:
    """The one place where an order's status changes; its row is locked."""
    if status not in MOVES[order.status]:
        raise ValueError(f"An order does not go from {order.status} to {status}.")
    order.status, order.reason = status, reason[:300]
    order.finished_at = wall if status in FINAL else None
    order.save()
    data = {"plan": order.plan_id, "slice": order.slice, "status": str(status), "filled": str(order.filled_quantity)}
    events.emit("trading.order", subject=order.pk, topics=["desk"], data=data, now=wall)


def remaining(plan: Plan) -> Decimal:
    """The residual exposure of a plan, less what an undecided order may still trade of it."""
    open_ = Order.objects.filter(plan=plan, status__in=UNDECIDED)
    return rest(plan) - sum((order.quantity - order.filled_quantity for order in open_), ZERO)
