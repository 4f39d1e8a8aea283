"""Were the signals right? Judged by the price a fixed time later, with and without fees.

All times are market time. A signal without a price at either moment is never judged: nothing is filled in.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, QuerySet, Sum

from apps.core import events, parameters
from apps.trading import candles
from apps.trading.market_time import clock
from apps.trading.models import Direction, Outcome, Signal, Source
from apps.trading.risk.limits import current
from apps.trading.risk.sizing import break_even_bp
from workers.protocol.clock import utcnow

ONE = 10_000
TRIED_FOR = timedelta(hours=24)
COIN = 0.5
ENOUGH = "risk.accuracy_min_n"


@dataclass(frozen=True)
class Summary:
    """What came of the signals of a time. Ratios are None where there is nothing to divide by; P&L is a fraction."""

    hours: float
    signals: int
    signals_per_day: float
    judged: int
    per_day: float
    correct: int
    accuracy: float | None
    total_pnl: float
    total_pnl_after_fees: float
    wins: int
    losses: int
    win_loss: float | None
    enough: bool
    quality: str
    break_even: float

    def as_dict(self) -> dict[str, Any]:
        """By name."""
        return asdict(self)


def pnl_of(direction: str, entry: float, exit_: float) -> float:
    """The gain of one unit bought (LONG) or sold (SHORT) at `entry` and closed at `exit_`, per price paid."""
    change = exit_ / entry - 1
    return change if direction == Direction.LONG else -change


def after_fees(pnl: float, entry: float, exit_: float, fee_bp: int) -> float:
    """The same less a fee on what changes hands at both ends."""
    return pnl - fee_bp / ONE * (1 + exit_ / entry)


def of_the_clock() -> QuerySet[Signal]:
    """The signals whose times are of the market's present clock: a recording's or the wall's."""
    if clock().source == Source.REPLAY:
        return Signal.objects.filter(source=Source.REPLAY)
    return Signal.objects.exclude(source=Source.REPLAY)


def judge_due(now: datetime) -> int:
    """Judge the signals that are old enough; returns how many. A missing price is asked for again for a day."""
    after = timedelta(seconds=parameters.get("signals.judged_after_s"))
    waiting = of_the_clock().filter(outcome=None, market_at__lte=now - after, market_at__gt=now - after - TRIED_FOR)
    judged = sum(judge(signal, after, now) for signal in waiting.order_by("market_at", "pk"))
    if judged:
        events.emit("signals.judged", subject="signals", topics=["desk"], data={"count": judged}, now=utcnow())
    return judged


@transaction.atomic
def judge(signal: Signal, after: timedelta, now: datetime) -> bool:
    """Compare the price at the signal with that some time later; False where one is missing or it was judged."""
    entry = candles.price_at(signal.pair, signal.market_at)
    exit_ = candles.price_at(signal.pair, signal.market_at + after)
    if not entry or not exit_:
        return False
    pnl = pnl_of(signal.direction, entry, exit_)
    _, created = Outcome.objects.get_or_create(
        signal=signal,
        defaults={
            "entry_price": entry,
            "exit_price": exit_,
            "pnl": pnl,
            "pnl_after_fees": after_fees(pnl, entry, exit_, parameters.get("risk.fee_bp")),
            "correct": pnl > 0,
            "judged_at": now,
        },
    )
    return created


def within(hours: float, now: datetime) -> QuerySet[Signal]:
    """The signals of the last hours."""
    return of_the_clock().filter(market_at__gt=now - timedelta(hours=hours), market_at__lte=now)


def summary(hours: float, now: datetime) -> Summary:
    """What came of the signals of the last hours: one query."""
    found = within(hours, now).aggregate(
        signals=Count("pk"),
        judged=Count("outcome"),
        correct=Count("outcome", filter=Q(outcome__correct=True)),
        wins=Count("outcome", filter=Q(outcome__pnl_after_fees__gt=0)),
        losses=Count("outcome", filter=Q(outcome__pnl_after_fees__lt=0)),
        pnl=Sum("outcome__pnl"),
        net=Sum("outcome__pnl_after_fees"),
    )
    judged, days = found["judged"], hours / 24
    accuracy = found["correct"] / judged if judged else None
    enough = judged >= parameters.get(ENOUGH)
    return Summary(
        hours=hours,
        signals=found["signals"],
        signals_per_day=found["signals"] / days,
        judged=judged,
        per_day=judged / days,
        correct=found["correct"],
        accuracy=accuracy,
        total_pnl=found["pnl"] or 0.0,
        total_pnl_after_fees=found["net"] or 0.0,
        wins=found["wins"],
        losses=found["losses"],
        win_loss=found["wins"] / found["losses"] if found["losses"] else None,
        enough=enough,
        quality=quality(accuracy, enough=enough),
        break_even=needed(),
    )


def needed() -> float:
    """The break-even share of wins at the take profit, stop loss and fee that hold now; above 1 it cannot be."""
    limits = current()
    return float(break_even_bp(limits, limits.fee_bp)) / ONE


def quality(accuracy: float | None, *, enough: bool) -> str:
    """One word for an accuracy: too few, worse than random, undecided, good."""
    if accuracy is None or not enough:
        return "too few"
    if accuracy < COIN:
        return "worse than random"
    return "good" if accuracy * ONE > parameters.get("signals.good_bp") else "undecided"
