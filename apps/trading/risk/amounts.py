"""Rules about how much: sizes, exposure, what can be lost, and what an entry can earn."""

from decimal import ROUND_HALF_UP, Decimal

from apps.trading.risk import sizing
from apps.trading.risk.checks import Check, Facts, Limits, parts_bp, percent, text, usd
from apps.trading.risk.limits import BP, CENT
from apps.trading.risk.losses import capital_at_dawn
from apps.trading.risk.picture import ZERO


def min_trade(facts: Facts, limits: Limits) -> Check:
    """An entry is worth the venue's while."""
    least, asked = limits.min_trade_cents * CENT, facts.asked.usd
    return Check(
        asked >= least,
        f"The size is {usd(asked)}; the smallest trade is {usd(least)}.",
        {"size_usd": text(asked)},
        {"min_trade_usd": text(least)},
    )


def max_trade(facts: Facts, limits: Limits) -> Check:
    """No entry above the largest, however many orders it takes."""
    most, asked = limits.max_trade(facts.equity), facts.asked.usd
    return Check(
        asked <= most,
        f"The size is {usd(asked)}; the largest trade is {usd(most)}.",
        {"size_usd": text(asked)},
        {"max_trade_usd": text(most)},
    )


def approved_size(facts: Facts, limits: Limits) -> Check:
    """The orders of a plan together stay within what its signal was allowed."""
    approved = facts.asked.approved_usd or ZERO
    return Check(
        facts.asked.usd <= approved,
        f"With this order the plan has bought {usd(facts.asked.usd)} of the {usd(approved)} it was allowed.",
        {"size_usd": text(facts.asked.usd)},
        {"approved_usd": text(approved)},
    )


def open_positions(facts: Facts, limits: Limits) -> Check:
    """One more position is allowed."""
    return Check(
        facts.slots < limits.max_open,
        f"{facts.slots} positions are open or about to be; the most is {limits.max_open}.",
        {"slots": facts.slots},
        {"max_open": limits.max_open},
    )


def leverage(facts: Facts, limits: Limits) -> Check:
    """Everything held, reserved and asked for is paid with what there is."""
    most = max(facts.equity, ZERO) * limits.max_leverage_bp * BP
    total = facts.exposure + facts.asked.usd
    return Check(
        total <= most,
        f"Exposure would be {usd(total)}; {usd(most)} is the most.",
        {"exposure_usd": text(facts.exposure), "size_usd": text(facts.asked.usd), "equity_usd": text(facts.equity)},
        {"max_leverage_bp": limits.max_leverage_bp},
    )


def position_limit(facts: Facts, limits: Limits) -> Check:
    """No pair has more than its share of equity."""
    assert limits.max_position_bp is not None  # noqa: S101  the table applies it to its profile only
    share = parts_bp(facts.exposure_of(facts.pair) + facts.asked.usd, facts.equity)
    return Check(
        share <= limits.max_position_bp,
        f"{facts.pair} would be {percent(share)} of equity; {percent(limits.max_position_bp)} is the most.",
        {"position_bp": share, "exposure_usd": text(facts.exposure_of(facts.pair)), "size_usd": text(facts.asked.usd)},
        {"max_position_bp": limits.max_position_bp},
    )


def loss_budget(facts: Facts, limits: Limits) -> Check:
    """If everything held, reserved and asked for were stopped out, the day would still be within its limit."""
    limit = limits.daily_loss(capital_at_dawn(facts))
    share = (limits.stop_loss_bp + limits.exit_margin_bp + 2 * facts.fee_bp) * BP
    # What a plan bought before this order is among the positions already.
    more = facts.asked.order_usd if facts.asked.stage == "order" else facts.asked.usd
    coming = (sum((item.usd for item in facts.reserved), ZERO) + more) * share
    loss = facts.stopped_loss_today + coming
    return Check(
        loss <= limit,
        f"Stopped out, the day would have lost {usd(loss)}; {usd(limit)} is the most.",
        {"stopped_loss_usd": text(loss), "size_usd": text(facts.asked.usd)},
        {"daily_loss_usd": text(limit)},
    )


def correlation(facts: Facts, limits: Limits) -> Check:
    """The pair does not move with one that is held; where nothing is known, it is taken to."""
    assert limits.correlation_bp is not None  # noqa: S101  the table applies it to its profile only
    found = dict(facts.correlations_bp)
    unknown = [pair for pair, value in found.items() if value is None]
    close = [pair for pair, value in found.items() if value is not None and value > limits.correlation_bp]
    words = "No pair that is held moves with it."
    if close:
        words = f"It moves with {', '.join(close)}, which is held."
    elif unknown:
        words = f"How it moves with {', '.join(unknown)}, which is held, is not known."
    return Check(
        not close and not unknown, words, {"correlations_bp": found}, {"correlation_bp": limits.correlation_bp}
    )


def kelly(facts: Facts, limits: Limits) -> Check:
    """The Kelly fraction after fees says to enter at all."""
    fraction = sizing.kelly(limits, facts.asked.confidence_bp, facts.fee_bp)
    bp = int(fraction * 10_000)
    return Check(
        fraction > 0,
        f"The Kelly fraction after fees is {percent(bp)}; {percent(limits.kelly_bp or 0)} of it is entered.",
        {"kelly_fraction_bp": bp, "confidence_bp": facts.asked.confidence_bp, "fee_bp": facts.fee_bp},
        {"kelly_bp": limits.kelly_bp},
    )


def expected_value(facts: Facts, limits: Limits) -> Check:
    """After fees an entry is expected to gain, its confidence taken as its chance."""
    value = sizing.expected_value_bp(limits, facts.asked.confidence_bp, facts.fee_bp)
    even = sizing.break_even_bp(limits, facts.fee_bp)
    shown = (Decimal(value.numerator) / value.denominator).quantize(CENT, ROUND_HALF_UP)
    needed = -(-even.numerator // even.denominator)
    return Check(
        value >= 0,
        f"After fees {percent(shown)} is expected; {percent(needed)} must win to break even.",
        {"expected_bp": text(shown), "confidence_bp": facts.asked.confidence_bp, "fee_bp": facts.fee_bp},
        {"break_even_bp": needed, "take_profit_bp": limits.take_profit_bp, "stop_loss_bp": limits.stop_loss_bp},
    )


def exit_feasible(facts: Facts, limits: Limits) -> Check:
    """What is bought could be sold again after a stop-out: the venue takes no order below its minimum."""
    floor = sizing.feasible_floor(limits, facts.fee_bp, facts.venue_minimum)
    least = sizing.least_feasible(limits, facts.fee_bp, facts.venue_minimum)
    return Check(
        facts.asked.usd >= least,
        f"To be sold after a stop-out an entry needs {usd(floor)}; this is {usd(facts.asked.usd)}.",
        {"size_usd": text(facts.asked.usd), "fee_bp": facts.fee_bp},
        {"feasible_usd": text(floor), "venue_minimum_usd": text(facts.venue_minimum)},
    )


def venue_minimum(facts: Facts, limits: Limits) -> Check:
    """The venue takes an order of this size."""
    return Check(
        facts.asked.order_usd >= facts.venue_minimum,
        f"The order is {usd(facts.asked.order_usd)}; the venue takes {usd(facts.venue_minimum)} and more.",
        {"order_usd": text(facts.asked.order_usd)},
        {"venue_minimum_usd": text(facts.venue_minimum)},
    )


def score(facts: Facts, limits: Limits) -> Check:
    """The weighted score of five risks, each 0 to 100, is not above the limit."""
    largest, total = limits.max_trade(facts.equity), facts.exposure + facts.asked.usd
    of_pair = facts.exposure_of(facts.pair) + facts.asked.usd
    full, fallen = limits.volatility_full_bp or 1, parts_bp(facts.peak - facts.equity, facts.peak)
    # Volatility that nobody can tell counts in full.
    moving = 100 if facts.volatility_bp is None else facts.volatility_bp * 100 // full
    parts = {
        "confidence": 100 - facts.asked.confidence_bp // 100,
        "size": parts_bp(facts.asked.usd, largest) // 100,
        "volatility": moving,
        "concentration": parts_bp(of_pair, total) // 100,
        "drawdown": fallen * 100 // (limits.drawdown_bp or 1),
    }
    weights = {name: getattr(limits, f"weight_{name}") or 0 for name in parts}
    points = sum(min(100, part) * weights[name] for name, part in parts.items())
    most = limits.reject_score or 0
    return Check(
        points <= most * 100,
        f"The risk score is {points // 100}; above {most} nothing is entered.",
        parts | {"score_times_100": points, "volatility_bp": facts.volatility_bp},
        {"reject_score": most} | {f"weight_{name}": weight for name, weight in weights.items()},
    )
