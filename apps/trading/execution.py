"""Execution: decisions to trade become plans, carried out in slices over time (TWAP), whatever is cut short between.

Every step is found in rows: `advance` asks first what became of orders that are undecided, then prepares, sends and
books what is due. Exits come before entries.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import Case, Max, Value, When

from apps.core import events, parameters
from apps.core.models import User
from apps.trading import candles
from apps.trading import execution_orders as orders
from apps.trading import execution_schedule as schedule
from apps.trading.errors import OrderRefused
from apps.trading.exchange import live, port
from apps.trading.execution_orders import UNDECIDED, resolve, terms
from apps.trading.models import Order, Plan, PlanStatus, Position, Purpose, Round, Side, Signal
from apps.trading.risk import limits, sizing
from apps.trading.risk.errors import NotStaff
from workers.protocol.clock import utcnow
from workers.protocol.ids import new_id

__all__ = [
    "UNDECIDED",
    "Residual",
    "advance",
    "alone",
    "cancel",
    "open_entry",
    "open_exit",
    "pause",
    "recover",
    "residual",
    "resolve",
    "resume",
    "start_mode",
]

OPEN = (PlanStatus.PENDING, PlanStatus.RUNNING, PlanStatus.PAUSED)
ENDED = {PlanStatus.DONE, PlanStatus.CANCELLED, PlanStatus.FAILED}
MOVES: dict[str, set[str]] = {
    PlanStatus.PENDING: {PlanStatus.RUNNING, PlanStatus.PAUSED, PlanStatus.CANCELLED, PlanStatus.FAILED},
    PlanStatus.RUNNING: {PlanStatus.PAUSED, *ENDED},
    PlanStatus.PAUSED: {PlanStatus.RUNNING, PlanStatus.CANCELLED},
}
ONE_EXECUTOR = 0x74726164
TOO_SMALL = "too small for the venue"
CENT, BP = Decimal("0.01"), 10_000


@dataclass(frozen=True)
class Residual:
    """What a plan has left: coins not traded, and their worth at its limit, USD."""

    quantity: Decimal
    usd: Decimal


def start_mode(mode: str) -> None:
    """Refuse to trade with real money. Raises LiveRefused."""
    live.start(mode)


def residual(plan: Plan) -> Residual:
    """What a plan has not traded; of an entry that ended, what is not exposed; of an exit, what still is."""
    left = schedule.rest(plan)
    return Residual(left, (left * plan.limit_price).quantize(CENT))


# Opening


@transaction.atomic
def open_entry(  # noqa: PLR0913  the parts of an agreed trade
    signal: Signal,
    round: Round,  # noqa: A002  the rows' own word
    size_usd: Decimal,
    side: str,
    price: Decimal,
    now: datetime,
    wall: datetime | None = None,
) -> Plan:
    """The plan that buys at most `size_usd` of an agreed signal; a round has one. Raises OrderRefused.

    `price` is what the oracles agreed on; the limit is as much above as slippage may cost, and what is bought at that
    limit stays within the size.
    """
    known = Plan.objects.filter(round=round, purpose=Purpose.ENTRY).first()
    if known is not None:
        return known
    if side != Side.BUY or price <= 0 or size_usd <= 0:
        raise OrderRefused(f"An entry buys for dollars at a price: {side} {size_usd} at {price}.")
    found, rules = terms(), limits.current()
    limit = schedule.entry_limit(price, found)
    quantity = schedule.lots(size_usd / limit)
    if not schedule.sellable(quantity, limit, found):
        raise OrderRefused(f"{size_usd} USD is less than the venue takes.")
    smallest = max(found.least, sizing.feasible_floor(rules, rules.fee_bp, found.least))
    plan = Plan(
        purpose=Purpose.ENTRY,
        signal=signal,
        round=round,
        pair=signal.pair,
        side=Side.BUY,
        quantity=quantity,
        limit_price=limit,
        slices=schedule.count(quantity * limit, smallest, parameters.get("trading.slices")),
    )
    return _opened(plan, now, wall or utcnow())


@transaction.atomic
def open_exit(position: Position, reason: str, now: datetime, wall: datetime | None = None) -> Plan:
    """The plan that sells a position; the one under way where there is one, resumed where it was paused.

    What was still to be bought of it is not bought any more. Where the venue would not take so small an order, the
    plan that failed for that is returned until its worth has grown. Raises OrderRefused where nothing is held.
    """
    wall = wall or utcnow()
    # Plans are locked before positions, here and where fills are booked.
    exits = Plan.objects.select_for_update().filter(position=position, purpose=Purpose.EXIT)
    plan = exits.filter(status__in=OPEN).first()
    for entry in Plan.objects.select_for_update().filter(position=position, purpose=Purpose.ENTRY, status__in=OPEN):
        _move(entry, PlanStatus.CANCELLED, f"Its position is sold: {reason}.", wall)
    if plan is not None:
        return _resumed(plan, now, wall) if plan.status == PlanStatus.PAUSED else plan
    row = Position.objects.select_for_update().get(pk=position.pk)
    if row.closed_at is not None:
        raise OrderRefused("The position is closed.")
    price = _price(row, now)
    if not schedule.sellable(row.quantity, price, terms()):
        stuck = exits.filter(status=PlanStatus.FAILED, reason__contains=TOO_SMALL, quantity=row.quantity).first()
        if stuck is not None:
            return stuck
    plan = Plan(
        purpose=Purpose.EXIT,
        signal_id=row.signal_id,
        position=row,
        pair=row.pair,
        side=Side.SELL,
        quantity=row.quantity,
        limit_price=schedule.exit_limit(row.quantity, price, terms()),
        reason=reason[:40],
    )
    return _opened(plan, now, wall)


def _price(position: Position, now: datetime) -> Decimal:
    """The last price, or the entry's where the minute is missing: an exit is opened all the same."""
    price = candles.price_at(position.pair, now)
    return position.entry_price if price is None else Decimal(repr(price))


def _opened(plan: Plan, now: datetime, wall: datetime) -> Plan:
    plan.id, plan.interval_s = new_id("pln", wall), parameters.get("trading.interval_s")
    plan.starts_at, plan.created_at = now, wall
    plan.save(force_insert=True)
    _tell(plan, wall)
    return plan


# Control


@transaction.atomic(durable=True)
def pause(plan: Plan, actor: User, reason: str, now: datetime, wall: datetime | None = None) -> Plan:
    """Staff: no further slice until somebody resumes, or risk needs the exit. Raises NotStaff, OrderRefused."""
    row = _of_staff(plan, actor, {PlanStatus.PENDING, PlanStatus.RUNNING}, "pause")
    words = f"{row.reason}: paused, {reason}" if row.purpose == Purpose.EXIT else reason
    return _move(row, PlanStatus.PAUSED, words, wall or utcnow(), "Resume or cancel it.", actor)


@transaction.atomic(durable=True)
def resume(plan: Plan, actor: User, reason: str, now: datetime, wall: datetime | None = None) -> Plan:
    """Staff: go on where it stopped; the slices left keep their distance. Raises NotStaff, OrderRefused."""
    row = _of_staff(plan, actor, {PlanStatus.PAUSED}, "resume")
    return _resumed(row, now, wall or utcnow(), actor)


@transaction.atomic(durable=True)
def cancel(plan: Plan, actor: User, reason: str, now: datetime, wall: datetime | None = None) -> Plan:
    """Staff: end it. An entry's undecided order is still asked for and booked. Raises NotStaff, OrderRefused.

    An exit whose order is undecided is not ended: a second one could sell what the first has sold already.
    """
    row = _of_staff(plan, actor, set(OPEN), "cancel")
    if row.purpose == Purpose.EXIT and Order.objects.filter(plan=row, status__in=UNDECIDED).exists():
        raise OrderRefused("The outcome of its order is not known yet.")
    return _move(row, PlanStatus.CANCELLED, _ending(row, reason), wall or utcnow(), actor=actor)


def _of_staff(plan: Plan, actor: User, allowed: set[PlanStatus], verb: str) -> Plan:
    """The plan's row, locked."""
    if not (actor.is_active and actor.is_staff):
        raise NotStaff
    row = Plan.objects.select_for_update().get(pk=plan.pk)
    if row.status not in allowed:
        raise OrderRefused(f"A plan that is {row.status} does not {verb}.")
    return row


def _resumed(row: Plan, now: datetime, wall: datetime, actor: User | None = None) -> Plan:
    """Running again, its clock set so that the next slice is due now; the row is locked."""
    sent = Order.objects.filter(plan=row).aggregate(index=Max("slice"))["index"]
    row.starts_at = now - timedelta(seconds=row.interval_s * (0 if sent is None else sent + 1))
    row.save(update_fields=["starts_at"])
    reason = row.reason.partition(":")[0] if row.purpose == Purpose.EXIT else ""
    return _move(row, PlanStatus.RUNNING, reason, wall, actor=actor)


# Carrying out


def advance(now: datetime, wall: datetime) -> int:
    """Everything that is due at market time `now`; returns how many orders were prepared. Raises LiveRefused."""
    start_mode(parameters.get("trading.mode"))
    with alone():
        exchange = port.paper(now)
        resolve(exchange, now, wall)
        made = 0
        exits_first = Case(When(purpose=Purpose.EXIT, then=Value(0)), default=Value(1))
        waiting = Plan.objects.filter(status__in=(PlanStatus.PENDING, PlanStatus.RUNNING), starts_at__lte=now)
        for plan in waiting.order_by(exits_first, "created_at", "pk"):
            _begin(plan.pk, wall)
            order = orders.prepare(plan.pk, now, wall)
            if order is not None:
                made += 1
                orders.dispatch(order, exchange, now, wall)
            _conclude(plan.pk, now, wall)
        return made


def recover(now: datetime, wall: datetime) -> int:
    """At start: ask for every order that was cut short, and book it. Returns how many stay unknown."""
    start_mode(parameters.get("trading.mode"))
    with alone():
        return resolve(port.paper(now), now, wall)


@contextmanager
def alone() -> Iterator[None]:
    """One executor at a time: another one would ask for an order that the first is just sending, and not find it.

    The lock belongs to the connection, so it goes with an executor that is killed.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [ONE_EXECUTOR])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [ONE_EXECUTOR])


@transaction.atomic(durable=True)
def _begin(plan_id: str, wall: datetime) -> None:
    row = Plan.objects.select_for_update().get(pk=plan_id)
    if row.status == PlanStatus.PENDING:
        _move(row, PlanStatus.RUNNING, row.reason, wall)


@transaction.atomic(durable=True)
def _conclude(plan_id: str, now: datetime, wall: datetime) -> None:
    """End a plan that has nothing left to do, and say what it leaves over."""
    row = Plan.objects.select_for_update().get(pk=plan_id)
    if row.status != PlanStatus.RUNNING or Order.objects.filter(plan=row, status__in=UNDECIDED).exists():
        return
    if row.purpose == Purpose.EXIT:
        _conclude_exit(row, now, wall)
    else:
        _conclude_entry(row, now, wall)


def _conclude_entry(row: Plan, now: datetime, wall: datetime) -> None:
    """Done at 99%, or with what could be bought in its time."""
    left = schedule.rest(row)
    if row.filled_quantity * BP >= row.quantity * parameters.get("trading.done_bp"):
        _move(row, PlanStatus.DONE, "" if left == 0 else _ending(row, "All but a rest is bought."), wall)
    elif schedule.over(row, now, terms()):
        status = PlanStatus.DONE if row.filled_quantity else PlanStatus.FAILED
        last = Order.objects.filter(plan=row).order_by("-slice").first()
        _move(row, status, _ending(row, last.reason if last else "There was no market."), wall)
    elif not schedule.sellable(left, row.limit_price, terms()):
        _move(row, PlanStatus.DONE, _ending(row, f"The rest is {TOO_SMALL}."), wall)


def _conclude_exit(row: Plan, now: datetime, wall: datetime) -> None:
    """Done when all is sold; else it failed, and risk asks for the next one."""
    left, price = schedule.rest(row), candles.price_at(row.pair, now)
    if left == 0:
        _move(row, PlanStatus.DONE, row.reason, wall)
    elif price is not None and not schedule.sellable(left, Decimal(repr(price)), terms()):
        words = _ending(row, f"{row.reason}: {TOO_SMALL}.")
        _move(row, PlanStatus.FAILED, words, wall, "It is sold when its worth reaches the venue's minimum.")
    elif schedule.over(row, now, terms()):
        words = _ending(row, f"{row.reason}: not sold in time.")
        _move(row, PlanStatus.FAILED, words, wall, "Risk asks for another exit.")


def _ending(row: Plan, reason: str) -> str:
    """A reason with the residual exposure."""
    left = residual(row)
    unit = row.pair.partition("-")[0]
    return f"{reason} Residual: {left.quantity.normalize():f} {unit}, ${left.usd}."


def _move(row: Plan, status: str, reason: str, wall: datetime, next_step: str = "", actor: User | None = None) -> Plan:
    """The one place where a plan's status changes: a compare-and-set, and its event."""
    if status not in MOVES[row.status]:
        raise OrderRefused(f"A plan does not go from {row.status} to {status}.")
    finished = wall if status in ENDED else None
    changed = Plan.objects.filter(pk=row.pk, status=row.status).update(
        status=status, reason=reason[:300], next_step=next_step[:300], finished_at=finished
    )
    if not changed:
        raise OrderRefused("Somebody else changed the plan.")
    row.refresh_from_db()
    _tell(row, wall, actor)
    return row


def _tell(row: Plan, wall: datetime, actor: User | None = None) -> None:
    left = residual(row)
    data = {
        "status": str(row.status),
        "purpose": str(row.purpose),
        "pair": row.pair,
        "reason": row.reason,
        "residual": str(left.quantity),
    }
    events.emit("trading.plan", subject=row.pk, topics=["desk"], data=data, now=wall, actor=actor)
