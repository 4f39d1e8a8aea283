"""Everything that the rules look at, read in one place with a constant number of queries."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Exists, Max, OuterRef, Q, Sum

from apps.trading.models import (
    Decision,
    Direction,
    EquityMark,
    Outcome,
    Plan,
    PlanStatus,
    Position,
    Purpose,
    RoundStatus,
    SignalStatus,
    TradingState,
    Verdict,
)
from apps.trading.risk import market
from apps.trading.risk.limits import BP, CENT, Limits, current
from apps.trading.risk.picture import ZERO, Facts, Held, Reserved

OPEN_PLANS = (PlanStatus.PENDING, PlanStatus.RUNNING, PlanStatus.PAUSED)


def day_of(now: datetime) -> datetime:
    """When the UTC market day began."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def gather(
    pair: str, now: datetime, *, state: TradingState | None = None, limits: Limits | None = None, but: str = ""
) -> Facts:
    """The facts for one pair at market time `now`; the entry of the signal `but` is not counted as reserved."""
    limits = limits or current()
    state = state or TradingState.objects.get_or_create(pk=1)[0]
    held = _held(now, limits)
    capital = limits.capital_cents * CENT + _realised(Q())
    unrealised = sum((item.pnl_usd for item in held), ZERO)
    equity = capital + unrealised
    judged, correct = _judged(now, limits, state)
    reserved = _reserved(now, held, but)
    facts = Facts(
        pair=pair,
        now=now,
        state=state.state,
        state_rule=state.rule,
        state_reason=state.reason,
        price=market.last_price(pair, now),
        capital=capital,
        equity=equity,
        realised_today=_realised(Q(closed_at__gte=day_of(now), closed_at__lte=now)),
        unrealised=unrealised,
        peak=max(equity, _peak(now, limits, state, None)),
        recent_peak=max(equity, _peak(now, limits, state, limits.breaker_cooldown_s or 0)),
        held=held,
        reserved=reserved,
        last_trade_at=_last_trade(pair, now, reserved, but),
        judged=judged,
        correct=correct,
        fee_bp=limits.fee_bp,
        venue_minimum=limits.venue_minimum_cents * CENT,
    )
    return _with_returns(facts) if pair and limits.correlation_bp is not None else facts


def _held(now: datetime, limits: Limits) -> tuple[Held, ...]:
    """Every open position at the last price, or at its entry's where the market never had one."""
    selling = Plan.objects.filter(position=OuterRef("pk"), purpose=Purpose.EXIT, status__in=OPEN_PLANS)
    rows = list(Position.objects.filter(closed_at=None).annotate(selling=Exists(selling)).order_by("opened_at", "pk"))
    prices = {pair: market.last_price(pair, now) for pair in {row.pair for row in rows}}
    fee, stop = limits.fee_bp * BP, 1 - limits.exit_margin_bp * BP
    found = []
    for row in rows:
        known = prices[row.pair]
        value = row.quantity * (known.usd if known else row.entry_price)
        paid = row.cost_usd + row.fees_usd - row.proceeds_usd
        found.append(
            Held(
                id=row.pk,
                pair=row.pair,
                signal_id=row.signal_id,
                quantity=row.quantity,
                cost_usd=row.cost_usd,
                value_usd=value,
                pnl_usd=value * (1 - fee) - paid,
                stopped_pnl_usd=row.quantity * row.stop_loss * stop * (1 - fee) - paid,
                opened_at=row.opened_at,
                selling=row.selling,
            )
        )
    return tuple(found)


def _reserved(now: datetime, held: tuple[Held, ...], but: str) -> tuple[Reserved, ...]:
    """What allowed signals without a plan, and entry plans that are under way, may still buy."""
    waiting = (
        Decision.objects.filter(
            stage="signal",
            verdict=Verdict.ALLOW,
            signal__direction=Direction.LONG,
            signal__status__in=[SignalStatus.ACTIVE, SignalStatus.ACTED],
            signal__expires_at__gt=now,
            signal__plans=None,
        )
        .exclude(signal__round__status=RoundStatus.FAILED)
        .exclude(signal_id=but)
        .values_list("signal_id", "pair", "size_usd", "market_at")
    )
    found = [Reserved(signal, pair, usd or ZERO, at, needs_slot=True) for signal, pair, usd, at in waiting]
    positions = {item.signal_id for item in held if item.signal_id} | {item.id for item in held}
    plans = Plan.objects.filter(purpose=Purpose.ENTRY, status__in=OPEN_PLANS).exclude(signal_id=but)
    for plan in plans.select_related("position"):
        became = plan.signal_id in positions or plan.position_id in positions
        closed = plan.position is not None and plan.position.closed_at is not None
        left = (plan.quantity - plan.filled_quantity) * plan.limit_price
        usd = left if became or closed else left + plan.filled_usd
        found.append(Reserved(plan.pk, plan.pair, usd, plan.starts_at, needs_slot=not became))
    return tuple(found)


def _realised(when: Q) -> Decimal:
    """Results of closed positions, fees paid."""
    return Position.objects.filter(when, closed_at__isnull=False).aggregate(usd=Sum("realised_pnl"))["usd"] or ZERO


def _judged(now: datetime, limits: Limits, state: TradingState) -> tuple[int, int]:
    """How many signals were judged within the window and since a person last resumed, and how many were right."""
    since = now - timedelta(seconds=limits.accuracy_window_s)
    if state.measured_from:
        since = max(since, state.measured_from)
    found = Outcome.objects.filter(judged_at__gt=since, judged_at__lte=now)
    counts: dict[str, Any] = found.aggregate(judged=Count("pk"), correct=Count("pk", filter=Q(correct=True)))
    return counts["judged"], counts["correct"]


def _peak(now: datetime, limits: Limits, state: TradingState, seconds: int | None) -> Decimal:
    """The highest equity since a person last resumed or, given seconds, within them."""
    marks = EquityMark.objects.filter(market_at__lte=now)
    if state.measured_from:
        marks = marks.filter(market_at__gte=state.measured_from)
    if seconds is not None:
        marks = marks.filter(market_at__gt=now - timedelta(seconds=seconds))
    begun = limits.capital_cents * CENT
    highest = marks.aggregate(usd=Max("pnl_usd"))["usd"]
    if state.measured_from is None and seconds is None:
        # The beginning counts too, whether or not somebody looked then.
        highest = max(highest or ZERO, ZERO)
    return Decimal("-Infinity") if highest is None else begun + Decimal(highest)


def _last_trade(pair: str, now: datetime, reserved: tuple[Reserved, ...], but: str) -> datetime | None:
    """When the pair was last entered or left, or an entry of it allowed."""
    others = Position.objects.filter(pair=pair).exclude(signal_id=but) if but else Position.objects.filter(pair=pair)
    found = others.aggregate(
        opened=Max("opened_at", filter=Q(opened_at__lte=now)), closed=Max("closed_at", filter=Q(closed_at__lte=now))
    )
    moments = [at for at in found.values() if at is not None]
    moments += [item.at for item in reserved if item.pair == pair and item.at <= now]
    return max(moments, default=None)


def _with_returns(facts: Facts) -> Facts:
    """The same with the pair's volatility and its correlation with every pair that is held or reserved."""
    own = market.returns(facts.pair, facts.now)
    others = {item.pair for item in facts.held} | {item.pair for item in facts.reserved}
    correlations = {
        pair: 10_000 if pair == facts.pair else market.correlation_bp(own, market.returns(pair, facts.now))
        for pair in sorted(others)
    }
    return replace(facts, volatility_bp=market.volatility_bp(own), correlations_bp=correlations)


def record_equity(facts: Facts, limits: Limits) -> None:
    """Keep the equity of this market minute, and any new height: what drawdown and breaker measure against."""
    last = EquityMark.objects.filter(market_at__lte=facts.now).order_by("-market_at").first()
    due = last is None or facts.now - last.market_at >= market.BAR
    if due or (last is not None and facts.equity > facts.peak):
        EquityMark.objects.get_or_create(
            market_at=facts.now,
            defaults={
                "equity_usd": facts.equity,
                "pnl_usd": facts.equity - limits.capital_cents * CENT,
                "exposure_usd": facts.exposure,
            },
        )
