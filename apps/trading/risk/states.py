"""The state of trading: what changes it, who may, and the record of each change. Exits are allowed in every state."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from apps.core import events
from apps.core.models import User
from apps.trading.models import Order, OrderStatus, State, StateChange, TradingState
from apps.trading.risk import facts as reading
from apps.trading.risk import rules
from apps.trading.risk.errors import NotStaff, StateRefused
from apps.trading.risk.limits import Limits
from apps.trading.risk.limits import current as current_limits
from apps.trading.risk.picture import Facts

MOVES: dict[str, set[str]] = {
    State.ACTIVE: {State.REDUCING, State.HALTED},
    State.REDUCING: {State.ACTIVE, State.HALTED},
    State.HALTED: {State.ACTIVE, State.HALTED},
}
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Target:
    """A state to go to, why, and what follows. `until` is market time; None: until a person resumes."""

    state: str
    rule: str = ""
    reason: str = ""
    next_step: str = ""
    flattening: bool = False
    until: datetime | None = None


def current() -> TradingState:
    """The state now, without a lock; made where it is missing."""
    return TradingState.objects.get_or_create(pk=1)[0]


def locked() -> TradingState:
    """The state, its row locked until the transaction ends.

    Whoever decides on an entry, or changes the state, holds this lock: between reading the facts and storing the
    decision nobody else may decide, or two decisions could together exceed a limit. Always the first lock taken.
    """
    current()
    return TradingState.objects.select_for_update().get(pk=1)


def pause(actor: User, reason: str, now: datetime, wall: datetime) -> TradingState:
    """Staff: no entries until somebody resumes; stops and take-profits go on."""
    target = Target(State.HALTED, "paused", _given(reason), "Resume when you are done.")
    return _by_person(target, actor, now, wall)


def stop_and_flatten(actor: User, reason: str, now: datetime, wall: datetime) -> TradingState:
    """Staff: no entries until somebody resumes, and every position is sold, whatever its hold."""
    words = "Positions are being sold. Look at the cause, then resume."
    return _by_person(Target(State.HALTED, "flatten", _given(reason), words, flattening=True), actor, now, wall)


@transaction.atomic
def resume(actor: User, reason: str, now: datetime, wall: datetime) -> TradingState:
    """Staff: active again. Drawdown and accuracy are measured from here; a lost day and unknown orders stay.

    Raises NotStaff, or StateRefused where trading is active, an order's outcome is unknown, or the day is lost.
    """
    _staff(actor)
    row = locked()
    if row.state == State.ACTIVE:
        raise StateRefused("Trading is active.")
    if unknown := Order.objects.filter(status=OrderStatus.UNKNOWN).count():
        raise StateRefused(f"The outcome of {unknown} orders is unknown. Reconcile them first.")
    limits = current_limits()
    row.measured_from = now
    seen = reading.gather("", now, state=row, limits=limits)
    for rule, check in rules.tripped(seen, limits):
        raise StateRefused(f"{rule.name}: {check.reason}")
    TradingState.objects.filter(pk=1).update(measured_from=now)
    return _move(row, Target(State.ACTIVE, "resumed", _given(reason)), now, wall, actor)


@transaction.atomic
def reduce(rule: str, reason: str, now: datetime, wall: datetime, next_step: str = "") -> TradingState:
    """Exits only, until the rule's cause is gone; a halt is not softened."""
    row = locked()
    if row.state != State.ACTIVE:
        return row
    words = next_step or "Trading goes on when the cause is gone."
    return _move(row, Target(State.REDUCING, rule, reason, words), now, wall)


@transaction.atomic
def relieve(rule: str, reason: str, now: datetime, wall: datetime) -> TradingState:
    """Active again where trading was reducing for this rule; anything else stays."""
    row = locked()
    if row.state != State.REDUCING or row.rule != rule:
        return row
    return _move(row, Target(State.ACTIVE, rule, reason), now, wall)


def watch(row: TradingState, facts: Facts, limits: Limits, wall: datetime) -> TradingState:
    """Halt where a rule is broken; end a halt whose time is over. `row` is locked."""
    if row.state == State.HALTED and row.until is not None and not _holds(row.until, facts.now):
        over = Target(State.ACTIVE, row.rule, f"Its time was over at {row.until:%Y-%m-%d %H:%M} UTC.")
        row = _move(row, over, facts.now, wall)
    for rule, check in rules.tripped(facts, limits):
        if rule.trip is None:
            continue
        until = rule.trip.until(facts, limits)
        row = _halt(
            row,
            Target(State.HALTED, rule.name, check.reason, rule.trip.next_step, rule.trip.flatten, until),
            facts.now,
            wall,
        )
    return row


def _holds(until: datetime, now: datetime) -> bool:
    """Whether a halt goes on: not after its end, nor for a market that has gone back to another day's recording."""
    return until - DAY <= now < until


def _halt(row: TradingState, target: Target, now: datetime, wall: datetime, actor: User | None = None) -> TradingState:
    """Halt, or make a halt stricter; one that is stricter already keeps its reason."""
    if row.state != State.HALTED:
        return _move(row, target, now, wall, actor)
    if row.until is None or target.until is None:
        until = None
    else:
        until = row.until if row.rule == target.rule else max(row.until, target.until)
    flattening = row.flattening or target.flattening
    if until == row.until and flattening == row.flattening:
        return row
    harder = target.flattening and not row.flattening
    kept = target if harder or row.until is not None else row
    next_step = kept.next_step if kept.until == until else "Trading was paused as well: resume it afterwards."
    merged = Target(State.HALTED, kept.rule, kept.reason, next_step, flattening, until)
    return _move(row, merged, now, wall, actor)


@transaction.atomic
def _by_person(target: Target, actor: User, now: datetime, wall: datetime) -> TradingState:
    """A halt by staff."""
    _staff(actor)
    row = locked()
    halted = _halt(row, target, now, wall, actor)
    if halted is row:
        raise StateRefused(f"Trading is {row.state} already: {row.reason}")
    return halted


def _move(row: TradingState, target: Target, now: datetime, wall: datetime, actor: User | None = None) -> TradingState:
    """The one place where the state changes: a compare-and-set under the lock, its record and its event."""
    if target.state not in MOVES[row.state]:
        raise StateRefused(f"Trading does not go from {row.state} to {target.state}.")
    active = target.state == State.ACTIVE
    changed = TradingState.objects.filter(pk=1, state=row.state).update(
        state=target.state,
        rule="" if active else target.rule,
        reason="" if active else target.reason[:300],
        next_step="" if active else target.next_step[:300],
        flattening=target.flattening,
        until=target.until,
        changed_at=wall,
    )
    if not changed:
        raise StateRefused("Somebody else changed the state of trading.")
    StateChange.objects.create(
        old=row.state,
        new=target.state,
        rule=target.rule,
        reason=target.reason[:300],
        actor=actor,
        market_at=now,
        at=wall,
    )
    data = {"old": str(row.state), "new": str(target.state), "rule": target.rule, "reason": target.reason[:300]}
    events.emit("trading.state", subject="trading", topics=["desk"], data=data, now=wall, actor=actor)
    return current()


def _staff(actor: User) -> None:
    if not (actor.is_active and actor.is_staff):
        raise NotStaff


def _given(reason: str) -> str:
    """A person's reason; a change without one is refused."""
    if not reason.strip():
        raise StateRefused("Say why.")
    return reason.strip()
