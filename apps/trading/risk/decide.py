"""Decisions: on a signal before consensus, and on every order before it is sent. Each is one row, for ever."""

import hashlib
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from apps.core import events
from apps.trading.models import (
    Decision,
    Direction,
    Plan,
    Position,
    Prediction,
    Purpose,
    Round,
    RoundStatus,
    Side,
    Signal,
    SignalStatus,
    Verdict,
)
from apps.trading.risk import facts as reading
from apps.trading.risk import rules, sizing, states
from apps.trading.risk.checks import Check
from apps.trading.risk.limits import Limits, current
from apps.trading.risk.picture import ZERO, Asked, Facts, text
from apps.trading.risk.rules import Rule
from workers.protocol import canonical
from workers.protocol.ids import new_id

BP = 10_000


@dataclass(frozen=True)
class Subject:
    """What a decision is about; the rows it points to."""

    signal: Signal | None = None
    plan: Plan | None = None
    position_id: str | None = None
    size_usd: Decimal | None = None


@transaction.atomic
def decide_signal(signal: Signal, now: datetime, wall: datetime) -> Decision:
    """Decide once whether a signal may go to consensus, and mark it passed over where not.

    The decision, the signal's mark and a halt that it finds are committed together, so that none is lost alone. A
    signal that was decided keeps its decision. Allowed, the signal stays active and its size, its position and the
    pair's rest are reserved until it has a plan, is passed over or expires, or its round fails.
    """
    row = states.locked()
    known = Decision.objects.filter(stage="signal", signal=signal).first()
    if known is not None:
        return known
    signal = Signal.objects.select_for_update().get(pk=signal.pk)
    limits = current()
    facts = reading.gather(signal.pair, now, state=row, limits=limits)
    facts = _watched(row, facts, limits, wall)
    facts = replace(facts, asked=_asked_of_signal(signal, facts, limits))
    free = facts.free() if signal.direction == Direction.SHORT else []
    decision = _store(facts, limits, Subject(signal, None, free[0].id if free else None, facts.asked.usd), wall)
    if decision.verdict == Verdict.REFUSE:
        # Compare-and-set: a signal that was taken or expired meanwhile keeps its mark.
        Signal.objects.filter(pk=signal.pk, status=SignalStatus.ACTIVE).update(
            status=SignalStatus.PASSED, reason=decision.reason, taken_at=now
        )
    return decision


@transaction.atomic
def check_order(plan: Plan, quantity: Decimal, price: Decimal, now: datetime, wall: datetime) -> Decision:
    """Decide on one order of a plan, at its limit price, before it is sent. An exit is allowed whatever the state."""
    row = states.locked()
    plan = Plan.objects.select_related("signal", "round", "position").get(pk=plan.pk)
    limits = current()
    facts = reading.gather(plan.pair, now, state=row, limits=limits, but=plan.signal_id or plan.pk)
    facts = _watched(row, facts, limits, wall)
    facts = replace(facts, asked=_asked_of_order(plan, quantity, price, facts))
    position = plan.position_id
    return _store(facts, limits, Subject(plan.signal, plan, position, facts.asked.order_usd), wall)


def _watched(row: Any, facts: Facts, limits: Limits, wall: datetime) -> Facts:
    """The facts with the state that they lead to; the equity they show is kept."""
    reading.record_equity(facts, limits)
    row = states.watch(row, facts, limits, wall)
    return replace(facts, state=row.state, state_rule=row.rule, state_reason=row.reason)


def _asked_of_signal(signal: Signal, facts: Facts, limits: Limits) -> Asked:
    """The question that a signal asks: a LONG of its size, or a SHORT of all that can be sold."""
    confidence = round(signal.confidence * BP)
    asked = Asked(
        stage="signal",
        side=Side.BUY,
        confidence_bp=confidence,
        signal_id=signal.pk,
        signal_at=signal.market_at,
        expires_at=signal.expires_at,
        active=signal.status == SignalStatus.ACTIVE,
    )
    if signal.direction == Direction.SHORT:
        worth = sum((held.value_usd for held in facts.free()), ZERO)
        return replace(asked, side=Side.SELL, usd=worth.quantize(Decimal("1e-8")))
    found = sizing.size(limits, confidence, facts.capital, facts.equity, facts.fee_bp, facts.venue_minimum)
    return replace(asked, usd=found.usd)


def _asked_of_order(plan: Plan, quantity: Decimal, price: Decimal, facts: Facts) -> Asked:
    """The question that an order asks, with all that its plan bought before."""
    worth = quantity * price
    if plan.purpose == Purpose.EXIT:
        holding = next((held.quantity for held in facts.held if held.id == plan.position_id), ZERO)
        return Asked(
            stage="order",
            side=Side.SELL,
            usd=worth,
            order_usd=worth,
            quantity=quantity,
            holding=holding,
            signal_id=plan.signal_id,
        )
    allowed = Decision.objects.filter(
        stage="signal", signal=plan.signal_id, verdict=Verdict.ALLOW, signal__direction=Direction.LONG
    ).first()
    own = [held for held in facts.held if plan.signal_id is not None and held.signal_id == plan.signal_id]
    closed = (
        Position.objects.filter(signal=plan.signal_id, closed_at__isnull=False).exists() if plan.signal_id else False
    )
    return Asked(
        stage="order",
        side=plan.side,
        confidence_bp=round(plan.signal.confidence * BP) if plan.signal else 0,
        usd=plan.filled_usd + worth,
        order_usd=worth,
        quantity=quantity,
        approved_usd=allowed.size_usd if allowed else None,
        signal_id=plan.signal_id,
        certified=_certified(plan),
        closing=closed or any(held.selling for held in own),
    )


def _certified(plan: Plan) -> bool:
    """Whether the oracles agreed to this plan's side and signal."""
    found = plan.round
    return (
        found is not None
        and found.status == RoundStatus.CERTIFIED
        and found.signal_id == plan.signal_id
        and (found.outcome or {}).get("action") == plan.side
    )


def _store(facts: Facts, limits: Limits, subject: Subject, wall: datetime) -> Decision:
    """Ask every rule and store what they said; the first that is enforced and does not hold decides."""
    asked = rules.ask(facts, limits)
    refusing = [(rule, check) for rule, check in asked if not check.ok and rule.enforced(limits)]
    if refusing:
        rule, check = refusing[0]
        verdict, name, reason = Verdict.REFUSE, rule.name, check.reason
    else:
        words = f"All {len(asked)} rules that are enforced hold."
        verdict, name, reason = Verdict.ALLOW, "allowed", words
    return write(facts, limits, subject, Answer(facts.asked.stage, verdict, name, reason, tuple(asked)), wall)


@dataclass(frozen=True)
class Answer:
    """What was decided."""

    stage: str
    verdict: str
    rule: str
    reason: str
    asked: tuple[tuple[Rule, Check], ...] = ()


def write(facts: Facts, limits: Limits, subject: Subject, answer: Answer, wall: datetime) -> Decision:
    """Store one decision with everything it looked at, and tell the desk after commit."""
    deciding = next((check for rule, check in answer.asked if rule.name == answer.rule), None)
    checks = [
        {
            "rule": rule.name,
            "ok": check.ok,
            "enforced": rule.enforced(limits),
            "reason": check.reason,
            "inputs": check.inputs,
            "thresholds": check.thresholds,
        }
        for rule, check in answer.asked
    ]
    inputs = {
        "rule": deciding.inputs if deciding else {},
        "facts": facts.summary(),
        "asked": {
            "side": str(facts.asked.side),
            "confidence_bp": facts.asked.confidence_bp,
            "band": sizing.band(facts.asked.confidence_bp),
            "usd": text(facts.asked.usd),
            "order_usd": text(facts.asked.order_usd),
            "quantity": text(facts.asked.quantity),
        },
    }
    thresholds = {name: value for name, value in asdict(limits).items() if value is not None}
    features, model = _hashes(subject)
    decision = Decision.objects.create(
        id=new_id("dec", wall),
        stage=answer.stage,
        verdict=answer.verdict,
        rule=answer.rule,
        reason=answer.reason[:300],
        profile=limits.profile,
        pair=facts.pair,
        signal=subject.signal,
        plan=subject.plan,
        position_id=subject.position_id,
        size_usd=subject.size_usd,
        inputs=inputs,
        thresholds=thresholds,
        checks=checks,
        inputs_sha256=digest({"inputs": inputs, "thresholds": thresholds, "checks": checks}),
        features_sha256=features,
        model_sha256=model,
        market_at=facts.now,
        created_at=wall,
    )
    data = {"stage": answer.stage, "verdict": str(answer.verdict), "rule": answer.rule, "pair": facts.pair}
    events.emit("trading.decision", subject=decision.pk, topics=["desk"], data=data, now=wall)
    return decision


def digest(value: Any) -> str:
    """SHA-256 of canonical JSON, in hex."""
    return hashlib.sha256(canonical.dumps(value)).hexdigest()


def _hashes(subject: Subject) -> tuple[str, str]:
    """Hashes of the features and of the models that the oracles of the plan's round used; empty where none did."""
    found: Round | None = subject.plan.round if subject.plan else None
    said = list(Prediction.objects.filter(round=found)) if found else []
    if not said:
        details = subject.signal.details if subject.signal else {}
        return str(details.get("features_sha256", ""))[:64], str(details.get("model_sha256", ""))[:64]
    features = sorted({one.features_sha256 for one in said})
    models = sorted({f"{one.model}@{one.version}" for one in said})
    return features[0] if len(features) == 1 else digest(features), digest(models)
