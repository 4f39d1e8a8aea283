"""Rules that stop trading as a whole: losses of the day, drawdown, a sudden fall, and signals that are wrong."""

from datetime import datetime, timedelta
from decimal import Decimal
from math import comb

from apps.trading.risk.checks import Check, Facts, Limits, parts_bp, percent, text, usd
from apps.trading.risk.facts import day_of

ONE = 10_000


def daily_loss(facts: Facts, limits: Limits) -> Check:
    """Realised and unrealised losses of the market day stay below the limit."""
    limit = limits.daily_loss(capital_at_dawn(facts))
    ok = facts.loss_today < limit
    return Check(
        ok,
        f"The day has lost {usd(facts.loss_today)} of the {usd(limit)} it may.",
        {
            "loss_today_usd": text(facts.loss_today),
            "realised_today_usd": text(facts.realised_today),
            "unrealised_usd": text(facts.unrealised),
        },
        {"daily_loss_usd": text(limit)},
    )


def capital_at_dawn(facts: Facts) -> Decimal:
    """The capital with which the market day began."""
    return facts.capital - facts.realised_today


def drawdown(facts: Facts, limits: Limits) -> Check:
    """Equity is not too far below its highest."""
    assert limits.drawdown_bp is not None  # noqa: S101  the table applies it to its profile only
    fallen = parts_bp(facts.peak - facts.equity, facts.peak)
    return Check(
        fallen < limits.drawdown_bp,
        f"Equity is {percent(fallen)} below its height, {usd(facts.peak)}; the limit is {percent(limits.drawdown_bp)}.",
        {"drawdown_bp": fallen, "peak_usd": text(facts.peak), "equity_usd": text(facts.equity)},
        {"drawdown_bp": limits.drawdown_bp},
    )


def breaker(facts: Facts, limits: Limits) -> Check:
    """Equity has not fallen too much within the breaker's own time."""
    assert limits.breaker_bp is not None  # noqa: S101  the table applies it to its profile only
    fallen = parts_bp(facts.recent_peak - facts.equity, facts.recent_peak)
    return Check(
        fallen < limits.breaker_bp,
        f"Equity fell {percent(fallen)} within {limits.breaker_cooldown_s} s; the breaker is at "
        f"{percent(limits.breaker_bp)}.",
        {"fallen_bp": fallen, "recent_peak_usd": text(facts.recent_peak), "equity_usd": text(facts.equity)},
        {"breaker_bp": limits.breaker_bp, "breaker_cooldown_s": limits.breaker_cooldown_s},
    )


def accuracy(facts: Facts, limits: Limits) -> Check:
    """Judged signals are not, beyond chance, right less often than the limit."""
    n, right = facts.judged, facts.correct
    thresholds = {
        "accuracy_pause_bp": limits.accuracy_pause_bp,
        "accuracy_min_n": limits.accuracy_min_n,
        "accuracy_level_bp": limits.accuracy_level_bp,
        "accuracy_window_s": limits.accuracy_window_s,
    }
    inputs = {"judged": n, "correct": right}
    if n < limits.accuracy_min_n:
        return Check(
            True, f"{n} signals are judged; fewer than {limits.accuracy_min_n} say nothing.", inputs, thresholds
        )
    level = as_few_bp(right, n, limits.accuracy_pause_bp)
    low = right * ONE < limits.accuracy_pause_bp * n and level <= limits.accuracy_level_bp
    words = f"{right} of {n} signals were right; by chance so few happen {percent(level)} of the time at "
    return Check(not low, f"{words}{percent(limits.accuracy_pause_bp)}.", inputs | {"p_bp": level}, thresholds)


def as_few_bp(right: int, n: int, p_bp: int) -> int:
    """Probability, in basis points rounded up, of at most `right` of `n` where each is right with `p_bp`. Exact."""
    total = sum(comb(n, k) * p_bp**k * (ONE - p_bp) ** (n - k) for k in range(right + 1))
    return int(-(-total * ONE // ONE**n))


def next_day(facts: Facts, limits: Limits) -> datetime | None:
    """A lost day ends with itself."""
    return day_of(facts.now) + timedelta(days=1)


def after_cooldown(facts: Facts, limits: Limits) -> datetime | None:
    """A break ends after its cooldown."""
    return facts.now + timedelta(seconds=limits.breaker_cooldown_s or 0)


def when_resumed(facts: Facts, limits: Limits) -> datetime | None:
    """Only a person ends it."""
    return None
