"""Which positions have to be closed now, and why. Nothing stands in the way of an exit."""

from dataclasses import replace
from datetime import datetime

from django.db import transaction

from apps.trading.models import Decision, Plan, PlanStatus, Position, Purpose, TradingState, Verdict
from apps.trading.risk import facts as reading
from apps.trading.risk import market, states
from apps.trading.risk.checks import usd
from apps.trading.risk.decide import Answer, Subject, write
from apps.trading.risk.limits import Limits, current
from apps.trading.risk.picture import Asked, Facts, text

BUSY = (PlanStatus.PENDING, PlanStatus.RUNNING)


@transaction.atomic
def exits_due(now: datetime, wall: datetime) -> list[tuple[Position, str]]:
    """Every position that has to be closed and has no exit under way, with its reason; each with its decision.

    A position is returned again until it has an exit plan that runs: one that is paused, failed or was cancelled does
    not count. Trading halts here too where a rule says so.
    """
    row = states.locked()
    limits = current()
    facts = reading.gather("", now, state=row, limits=limits)
    reading.record_equity(facts, limits)
    row = states.watch(row, facts, limits, wall)
    busy = Plan.objects.filter(purpose=Purpose.EXIT, status__in=BUSY, position__isnull=False).values("position")
    found = []
    for position in Position.objects.filter(closed_at=None).exclude(pk__in=busy).order_by("opened_at", "pk"):
        because = reason(position, row, limits, now)
        if because is not None:
            _decided(position, because, replace(facts, pair=position.pair), limits, wall)
            found.append((position, because[0]))
    return found


def reason(position: Position, row: TradingState, limits: Limits, now: datetime) -> tuple[str, str] | None:
    """The rule that closes a position and its words, the strictest first; None where it may be held on.

    A stop counts when any complete bar since the entry reached it, also where the price has come back since: time that
    jumped must not hide it. A take-profit counts at the last price, and after the minimum hold.
    """
    if row.flattening:
        return row.rule, f"All positions are sold. {row.reason}"
    lows = [low for low in (market.lowest_since(position.pair, position.opened_at, now),) if low is not None]
    last = market.last_price(position.pair, now)
    fresh = last is not None and last.at > position.opened_at
    if last is not None and fresh:
        lows.append(last.usd)
    if lows and min(lows) <= position.stop_loss:
        return "stop_loss", f"The price fell to {text(min(lows))}; the stop loss is at {text(position.stop_loss)}."
    held = (now - position.opened_at).total_seconds()
    if last is not None and fresh and last.usd >= position.take_profit and held >= limits.min_hold_s:
        return "take_profit", f"The price is {text(last.usd)}; the profit is taken at {text(position.take_profit)}."
    return None


def _decided(position: Position, because: tuple[str, str], facts: Facts, limits: Limits, wall: datetime) -> None:
    """Store the decision to close, once for each reason and each attempt."""
    last = Decision.objects.filter(position=position, stage="exit").order_by("-created_at", "-pk").first()
    tried = (
        last is not None
        and Plan.objects.filter(position=position, purpose=Purpose.EXIT, created_at__gte=last.created_at)
        .exclude(status=PlanStatus.PAUSED)
        .exists()
    )
    if last is not None and last.rule == because[0] and not tried:
        return
    held = next((item for item in facts.held if item.id == position.pk), None)
    worth = held.value_usd if held else None
    shown = replace(
        facts,
        asked=Asked(stage="exit", side="SELL", quantity=position.quantity, usd=worth or facts.asked.usd),
        price=market.last_price(position.pair, facts.now),
    )
    words = because[1] if worth is None else f"{because[1]} {text(position.quantity)} is worth {usd(worth)}."
    write(
        shown,
        limits,
        Subject(position_id=position.pk, size_usd=worth),
        Answer("exit", Verdict.ALLOW, because[0], words),
        wall,
    )
