"""The desk's figures, each beside what it is to be held against, and the limits beside what is used of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

from django.db.models import Avg, Count, Q
from django.utils.translation import gettext as _

from apps.trading import accuracy as signal_accuracy
from apps.trading.accuracy import Summary
from apps.trading.models import EquityMark, Position
from apps.trading.presentation import NONE, Figure, Market, percent, tone, usd
from apps.trading.risk import sizing
from apps.trading.risk.limits import CENT, Limits
from apps.trading.risk.picture import Facts

HOURS = 24
ACCURACY_TARGET = 55
WIN_LOSS_TARGET = "1.5"
HEALTHY = (5, 20)
CAP_BP = 9_500
CURVE_POINTS = 500


@dataclass(frozen=True)
class Limit:
    """One limit: what is used of it, and its meter from 0 to 1 where it has one."""

    label: str
    used: str
    limit: str
    share: float | None = None
    state: str = ""


@dataclass(frozen=True)
class Band:
    """One band of confidence, and what an entry in it would be."""

    name: str
    begins: str
    formula: str
    size: str
    executed: bool


@dataclass(frozen=True)
class Bands:
    """Sizes by band; `flat` where the band changes nothing, with the capital from which it does."""

    rows: list[Band]
    capital: str
    flat: str
    differs_from: str


def figures(facts: Facts, limits: Limits, market: Market) -> list[Figure]:
    """Today, open result, accuracy, win/loss, signals a day, equity."""
    seen = signal_accuracy.summary(HOURS, market.at)
    return [
        today(facts, limits),
        unrealised(facts),
        accuracy(limits, seen),
        win_loss(limits, market),
        signals_a_day(seen),
        equity(facts),
    ]


def today(facts: Facts, limits: Limits) -> Figure:
    """The market day's result against the loss at which it stops."""
    result = facts.realised_today + min(facts.unrealised, Decimal(0))
    hint = _("stops at %(limit)s · realised %(realised)s") % {
        "limit": usd(-limits.daily_loss(facts.capital)),
        "realised": usd(facts.realised_today, signed=True),
    }
    return Figure(_("Today"), usd(result, signed=True), "", hint, tone(result))


def unrealised(facts: Facts) -> Figure:
    """What closing everything now would make, fees paid."""
    count = len(facts.held)
    hint = _("%(count)d open, after fees of both sides") % {"count": count} if count else _("nothing is held")
    return Figure(_("Open result"), usd(facts.unrealised, signed=True), "", hint, tone(facts.unrealised))


def equity(facts: Facts) -> Figure:
    """Capital and open results, against the highest it was."""
    peak = facts.peak if facts.peak.is_finite() else facts.equity
    hint = _("capital %(capital)s · highest %(peak)s") % {"capital": usd(facts.capital), "peak": usd(peak)}
    return Figure(_("Equity"), usd(facts.equity), "", hint)


def break_even(limits: Limits) -> str:
    """The share of wins at which fees, stops and profits cancel out, in words."""
    found = sizing.break_even_bp(limits, limits.fee_bp)
    return _("none: fees take the profit") if found > sizing.ONE else f"{float(found) / 100:.1f} %"


def accuracy(limits: Limits, seen: Summary) -> Figure:
    """The share of signals that were right after fees, against 55 % and break-even."""
    beside = _("target %(target)d %% · break-even %(even)s") % {"target": ACCURACY_TARGET, "even": break_even(limits)}
    if not seen.judged:
        return Figure(_("Accuracy after fees, 24 h"), NONE, "", _("no signal judged yet") + " · " + beside)
    counts = _("%(wins)d of %(judged)d judged") % {"wins": seen.wins, "judged": seen.judged}
    known = counts if seen.enough else counts + ", " + _("too few to say much")
    return Figure(_("Accuracy after fees, 24 h"), percent(seen.wins / seen.judged), "%", f"{known} · {beside}")


def win_loss(limits: Limits, market: Market) -> Figure:
    """The average gain over the average loss of closed positions, against the design and the target."""
    closed = Position.objects.filter(closed_at__lte=market.at)
    won, lost = Q(realised_pnl__gt=0), Q(realised_pnl__lt=0)
    counted = closed.aggregate(
        wins=Count("pk", filter=won),
        losses=Count("pk", filter=lost),
        gain=Avg("realised_pnl", filter=won),
        loss=Avg("realised_pnl", filter=lost),
    )
    beside = _("%(design).2f by design, before fees · target %(target)s") % {
        "design": limits.take_profit_bp / limits.stop_loss_bp,
        "target": WIN_LOSS_TARGET,
    }
    counts = _("%(wins)d won, %(losses)d lost") % counted
    if counted["gain"] is None or counted["loss"] is None:
        return Figure(_("Win / loss"), NONE, "", f"{counts} · {beside}")
    return Figure(_("Win / loss"), f"{counted['gain'] / -counted['loss']:.2f}", "", f"{counts} · {beside}")


def signals_a_day(seen: Summary) -> Figure:
    """Signals within a day, and what too few or many mean."""
    count = seen.signals
    least, most = HEALTHY
    if count < least:
        hint = _("fewer than %(least)d: the scans are stale") % {"least": least}
    elif count > most:
        hint = _("more than %(most)d: the thresholds are loose") % {"most": most}
    else:
        hint = _("%(least)d to %(most)d is healthy") % {"least": least, "most": most}
    return Figure(_("Signals, 24 h"), str(count), "", hint)


def risk_limits(facts: Facts, limits: Limits, pair: str) -> list[Limit]:
    """The limits that hold now, and how much of each is used."""
    daily, largest = limits.daily_loss(facts.capital), limits.max_trade(facts.equity)
    leverage = facts.equity * limits.max_leverage_bp / 10_000
    found = [
        meter(_("Loss today"), facts.loss_today, daily),
        counted(_("Open positions"), facts.slots, limits.max_open),
        meter(_("Exposure"), facts.exposure, leverage),
        Limit(_("Largest entry"), "", usd(largest)),
    ]
    if limits.drawdown_bp is not None:
        fall = max(Decimal(0), facts.peak - facts.equity) / facts.peak * 10_000 if facts.peak > 0 else Decimal(0)
        found.append(counted(_("Drawdown, bp"), int(fall), limits.drawdown_bp))
    return [*found, judged(facts, limits), hold(limits), cooldown(facts, limits, pair)]


def meter(label: str, used: Decimal, limit: Decimal) -> Limit:
    """An amount of money of a limit."""
    share = float(min(Decimal(1), used / limit)) if limit > 0 else 1.0
    return Limit(label, usd(used), usd(limit), share, "failed" if share >= 1 else "")


def counted(label: str, used: int, limit: int) -> Limit:
    """A count of a limit."""
    share = min(1.0, used / limit) if limit else 1.0
    return Limit(label, str(used), str(limit), share, "failed" if share >= 1 else "")


def judged(facts: Facts, limits: Limits) -> Limit:
    """The accuracy below which trading pauses; on few signals it says nothing."""
    least = _("below %(percent)d %% of at least %(n)d judged") % {
        "percent": limits.accuracy_pause_bp // 100,
        "n": limits.accuracy_min_n,
    }
    return Limit(_("Pause on accuracy"), _("%(n)d judged") % {"n": facts.judged}, least)


def hold(limits: Limits) -> Limit:
    """Exits and the shortest hold."""
    prices = _("take profit %(profit)s %%, stop %(stop)s %%") % {
        "profit": f"{limits.take_profit_bp / 100:g}",
        "stop": f"{limits.stop_loss_bp / 100:g}",
    }
    return Limit(_("Exits"), prices, _("hold %(minutes)g min") % {"minutes": limits.min_hold_s / 60})


def cooldown(facts: Facts, limits: Limits, pair: str) -> Limit:
    """How long the pair still rests after its last trade."""
    minutes = _("%(minutes)g min") % {"minutes": limits.cooldown_s / 60}
    until = facts.last_trade_at + timedelta(seconds=limits.cooldown_s) if facts.last_trade_at else None
    resting = until is not None and until > facts.now
    used = _("until %(time)s UTC") % {"time": f"{until:%H:%M:%S}"} if resting else _("over")
    return Limit(_("Cooldown of %(pair)s") % {"pair": pair}, used, minutes)


def bands(facts: Facts, limits: Limits) -> Bands:
    """What each band of confidence would enter; whether the bands differ at this capital."""
    begins = [*(at for _name, at in sizing.BANDS), CAP_BP]
    names = [*(name for name, _at in sizing.BANDS), _("highest there is")]
    sizes = [sizing.size(limits, at, facts.capital, facts.equity, limits.fee_bp, facts.venue_minimum) for at in begins]
    rows = [
        Band(name, f"{at / 10_000:.2f}", usd(size.formula_usd), usd(size.usd), at >= limits.execute_confidence_bp)
        for name, at, size in zip(names, begins, sizes, strict=True)
    ]
    same = len({size.usd for size in sizes}) == 1
    return Bands(rows, usd(facts.capital), usd(sizes[0].usd) if same else "", differs_from(limits, sizes[0].usd))


def differs_from(limits: Limits, smallest: Decimal) -> str:
    """The capital at which the highest confidence first enters more than the smallest trade."""
    if limits.size_bp is None or limits.size_slope_milli is None or limits.size_from_bp is None:
        return ""
    growth = 1 + Decimal(limits.size_slope_milli) * (CAP_BP - limits.size_from_bp) / 10_000_000
    return usd(((smallest + CENT) / (limits.size_bp * growth / 10_000)).quantize(CENT, ROUND_CEILING))


def curve(market: Market) -> dict[str, Any] | None:
    """The result over market time as a chart; None where it was measured less than twice."""
    marks = EquityMark.objects.filter(market_at__lte=market.at).order_by("-market_at")
    points = list(reversed(marks.values_list("market_at", "pnl_usd")[:CURVE_POINTS]))
    if len(points) < 2:
        return None
    values = [round(float(pnl), 4) for _at, pnl in points]
    series = {"label": _("Result"), "unit": "USD", "values": values, "fill": True}
    return {"x": [int(at.timestamp()) for at, _pnl in points], "series": [series]}


def last_prices(facts: Facts) -> Mapping[str, float | None]:
    """Value by pair of what is held, as prices: what `facts` valued it at."""
    return {held.pair: float(held.value_usd / held.quantity) if held.quantity else None for held in facts.held}
