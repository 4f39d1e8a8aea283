"""One step of trading, the same live and in a replay: signals → risk → consensus → orders → exits.

`now` is market time, `wall` is the wall's. Every part finds its work in rows, so a step that was cut short is made good
by the next one.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from apps.core import parameters
from apps.trading import accuracy, candles, execution, risk, rounds, signals
from apps.trading.errors import RoundRefused, TradingError
from apps.trading.models import (
    Decision,
    Direction,
    Plan,
    Position,
    Purpose,
    Round,
    RoundStatus,
    Scan,
    Side,
    Signal,
    SignalStatus,
    Verdict,
)
from apps.trading.training import serving

BARS = 300
POINTS = 51
UNITS = Decimal(10**8)
ACTIONS = {Direction.LONG: Side.BUY, Direction.SHORT: Side.SELL}


@dataclass
class Step:
    """What one step did."""

    decided: int = 0
    rounds: int = 0
    acted: int = 0
    exits: int = 0


def step(now: datetime, wall: datetime) -> Step:
    """Everything that is due at `now`, in the order in which it follows from what was measured."""
    done = Step()
    signals.expire_due(now)
    accuracy.judge_due(now)
    done.decided = decide(now, wall)
    done.rounds = consult(now, wall)
    done.acted = conclude(now, wall)
    execution.advance(now, wall)
    done.exits = leave(now, wall)
    return done


def decide(now: datetime, wall: datetime) -> int:
    """Risk's word on every signal that waits for one; those that came first, first."""
    waiting = Signal.objects.filter(status=SignalStatus.ACTIVE, decisions=None).order_by("market_at", "pk")
    for signal in waiting:
        risk.decide_signal(signal, now, wall)
    return len(waiting)


def consult(now: datetime, wall: datetime) -> int:
    """Put every allowed signal that has no round before the oracles."""
    allowed = Decision.objects.filter(
        stage="signal", verdict=Verdict.ALLOW, signal__status=SignalStatus.ACTIVE, signal__round=None
    ).select_related("signal__target")
    started = 0
    for decision in allowed.order_by("created_at", "pk"):
        signal = decision.signal
        if signal is None:
            continue
        try:
            rounds.start(signal, subject_of(signal), observation_of(signal, now), wall)
            started += 1
        except RoundRefused as refusal:
            signals.take(signal.pk, False, f"No round: {refusal.detail}"[:300], now)
    return started


def subject_of(signal: Signal) -> dict[str, Any]:
    """What the oracles are asked: a symbol and a horizon; never the answer."""
    return {"symbol": signal.pair, "horizon_s": parameters.get("signals.judged_after_s"), "signal": signal.pk}


def observation_of(signal: Signal, now: datetime) -> dict[str, Any]:
    """The measurements that an oracle judges by itself; decimals are strings, since they are signed and hashed."""
    scans = list(
        Scan.objects.filter(target=signal.target, vantage=signal.vantage, measured_at__lte=signal.market_at).order_by(
            "-measured_at"
        )[:POINTS]
    )[::-1]
    bars = candles.window(signal.pair, now, BARS)
    return {
        "signal": {
            "kind": signal.kind,
            "direction": signal.direction,
            "confidence_bp": round(signal.confidence * 10_000),
            "pair": signal.pair,
        },
        "series": {
            "rtts": [None if scan.total_rtt_ms is None else repr(scan.total_rtt_ms) for scan in scans],
            "times_s": [int(scan.measured_at.timestamp()) for scan in scans],
            "hops_now": route(scans[-1]) if scans else [],
            "hops_before": route(scans[-2]) if len(scans) > 1 else [],
        },
        "candles": [[int(bar[0]), *(repr(float(value)) for value in bar[1:])] for bar in bars],
        "model": serving.offered(),
        "horizon_s": parameters.get("signals.judged_after_s"),
    }


def route(scan: Scan) -> list[dict[str, Any]]:
    """A scan's hops with round-trip times as decimal strings."""
    return [
        {"hop": hop["hop"], "ip": hop["ip"], "rtt_ms": None if hop["rtt_ms"] is None else repr(float(hop["rtt_ms"]))}
        for hop in scan.hops
    ]


def conclude(now: datetime, wall: datetime) -> int:
    """Act on rounds that have ended, each once: an agreed action becomes a plan, all else passes the signal over."""
    ended = Round.objects.exclude(status=RoundStatus.OPEN).filter(signal__status=SignalStatus.ACTIVE)
    acted = 0
    for round_ in ended.select_related("signal").order_by("finished_at", "pk"):
        acted += act(round_, now, wall)
    return acted


@transaction.atomic(durable=True)
def act(round_: Round, now: datetime, wall: datetime) -> bool:
    """The plan of one certified round, together with the signal's mark; False where nothing is traded."""
    signal = Signal.objects.select_for_update().get(pk=round_.signal_id)
    if signal.status != SignalStatus.ACTIVE:
        return False
    reason = against(round_, signal)
    if reason:
        signals.take(signal.pk, False, reason, now)
        return False
    try:
        with transaction.atomic():
            plans = traded(round_, signal, now)
    except TradingError as error:
        signals.take(signal.pk, False, error.detail[:300], now)
        return False
    signals.take(signal.pk, True, f"The oracles agreed; plan {plans[0].pk}.", now)
    return True


def against(round_: Round, signal: Signal) -> str:
    """Why a round does not lead to a trade; empty where it does."""
    if round_.status == RoundStatus.FAILED:
        return f"The oracles did not agree: {round_.reason}"[:300]
    agreed = (round_.outcome or {}).get("action")
    if agreed != ACTIONS[Direction(signal.direction)]:
        return f"The oracles agreed on {agreed}."
    return ""


def traded(round_: Round, signal: Signal, now: datetime) -> list[Plan]:
    """Buy the decided size at the agreed price, or sell what is held of the pair."""
    decision = signal.decisions.get(stage="signal")
    if signal.direction == Direction.SHORT:
        busy = Plan.objects.filter(purpose=Purpose.EXIT, status__in=["PENDING", "RUNNING"]).values("position")
        held = Position.objects.filter(pair=signal.pair, closed_at=None).exclude(pk__in=busy).order_by("opened_at")
        plans = [execution.open_exit(position, "signal", now) for position in held]
        if not plans:
            raise TradingError("What was held has been sold meanwhile.")
        return plans
    price = Decimal((round_.outcome or {})["price"]) / UNITS
    size = decision.size_usd or Decimal(0)
    return [execution.open_entry(signal, round_, size, Side.BUY, price, now)]


def leave(now: datetime, wall: datetime) -> int:
    """Open the exits that risk asks for; they run in the same step."""
    due = risk.exits_due(now, wall)
    for position, reason in due:
        execution.open_exit(position, reason, now)
    if due:
        execution.advance(now, wall)
    return len(due)
