"""The one table of rules. A rule looks at facts and limits and says whether it holds; nothing else refuses a trade."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.trading.models import Side, State
from apps.trading.risk import amounts, losses
from apps.trading.risk.checks import Check, Facts, Limits, percent, text


def pair_allowed(facts: Facts, limits: Limits) -> Check:
    """The pair is one of those that may be entered."""
    allowed = limits.allowed_pairs
    return Check(
        facts.pair in allowed,
        f"{facts.pair} is {'' if facts.pair in allowed else 'not '}among the pairs that may be entered.",
        {"pair": facts.pair},
        {"pairs": list(allowed)},
    )


def no_signal(facts: Facts, limits: Limits) -> Check:
    """An order follows from a signal that was allowed and that the oracles certified."""
    asked = facts.asked
    ok = asked.signal_id is not None and asked.approved_usd is not None and asked.certified
    words = "A signal, its decision and its certificate are there." if ok else "There is no certified signal behind it."
    return Check(ok, words, {"signal": asked.signal_id, "certified": asked.certified})


def stale(facts: Facts, limits: Limits) -> Check:
    """The signal is of now: active, not expired, not from the future."""
    asked = facts.asked
    at, expires = asked.signal_at, asked.expires_at
    ok = asked.active and at is not None and expires is not None and at <= facts.now < expires
    words = "The signal is active." if ok else "The signal is not active now."
    if at is not None and at > facts.now:
        words = "The signal is from the future."
    elif expires is not None and expires <= facts.now:
        words = f"The signal expired at {expires:%Y-%m-%d %H:%M:%S} UTC."
    inputs = {"signal_at": at and at.isoformat(), "expires_at": expires and expires.isoformat()}
    return Check(ok, words, inputs | {"active": asked.active, "now": facts.now.isoformat()})


def signal_confidence(facts: Facts, limits: Limits) -> Check:
    """The signal is strong enough to be one."""
    return _confidence(facts, limits.signal_confidence_bp, "signal_confidence_bp", "below which it is discarded")


def execute_confidence(facts: Facts, limits: Limits) -> Check:
    """The signal is strong enough to be executed."""
    return _confidence(facts, limits.execute_confidence_bp, "execute_confidence_bp", "below which nothing is executed")


def _confidence(facts: Facts, least: int, name: str, words: str) -> Check:
    found = facts.asked.confidence_bp
    return Check(
        found >= least,
        f"Confidence is {percent(found)}; {percent(least)} is the least, {words}.",
        {"confidence_bp": found},
        {name: least},
    )


def closing(facts: Facts, limits: Limits) -> Check:
    """Nothing is bought for a position that is being closed."""
    words = "Its position is closed or being closed." if facts.asked.closing else "Its position is not being closed."
    return Check(not facts.asked.closing, words, {"closing": facts.asked.closing})


def market_data(facts: Facts, limits: Limits) -> Check:
    """The market has a price, and it is of now."""
    thresholds = {"max_price_age_s": limits.max_price_age_s}
    if facts.price is None:
        return Check(False, f"There is no price of {facts.pair}.", {"price": None}, thresholds)
    age = int((facts.now - facts.price.at).total_seconds())
    return Check(
        age <= limits.max_price_age_s,
        f"The last price of {facts.pair} is {age} s old; {limits.max_price_age_s} s is the most.",
        {"price": text(facts.price.usd), "age_s": age},
        thresholds,
    )


def state(facts: Facts, limits: Limits) -> Check:
    """Trading is active."""
    ok = facts.state == State.ACTIVE
    words = "Trading is active." if ok else f"Trading is {facts.state}: {facts.state_reason}"
    return Check(ok, words, {"state": str(facts.state), "state_rule": facts.state_rule})


def no_short(facts: Facts, limits: Limits) -> Check:
    """A spot venue sells only what is held."""
    asked = facts.asked
    if asked.stage == "order":
        ok = asked.quantity <= asked.holding
        words = f"{text(asked.quantity)} is to be sold of {text(asked.holding)} held."
        return Check(ok, words, {"quantity": text(asked.quantity), "held": text(asked.holding)})
    free = facts.free()
    words = f"{len(free)} positions of {facts.pair} can be sold."
    if not free:
        words = f"No trade: nothing of {facts.pair} is held that could be sold, and a spot venue sells nothing else."
    return Check(bool(free), words, {"positions": [held.id for held in free]})


def min_hold(facts: Facts, limits: Limits) -> Check:
    """A position is not sold by a signal before its time; stop losses and halts do not ask."""
    held = [facts.now - item.opened_at for item in facts.free()]
    shortest = int(min(held, default=timedelta(0)).total_seconds())
    return Check(
        shortest >= limits.min_hold_s,
        f"The position is held for {shortest} s; a signal closes it after {limits.min_hold_s} s.",
        {"held_s": shortest},
        {"min_hold_s": limits.min_hold_s},
    )


def cooldown(facts: Facts, limits: Limits) -> Check:
    """The pair rests after its last trade."""
    thresholds = {"cooldown_s": limits.cooldown_s}
    if facts.last_trade_at is None:
        return Check(True, f"{facts.pair} was not traded before.", {"last_trade_at": None}, thresholds)
    since = int((facts.now - facts.last_trade_at).total_seconds())
    return Check(
        since >= limits.cooldown_s,
        f"{facts.pair} was traded {since} s ago; it rests for {limits.cooldown_s} s.",
        {"since_s": since, "last_trade_at": facts.last_trade_at.isoformat()},
        thresholds,
    )


@dataclass(frozen=True)
class Trip:
    """What a broken rule does to trading as a whole: until when it halts, whether it sells, and what comes next."""

    until: Callable[[Facts, Limits], datetime | None]
    flatten: bool
    next_step: str


@dataclass(frozen=True)
class Rule:
    """One line of the table. A rule with a `limit` belongs to the profiles that have it."""

    name: str
    check: Callable[[Facts, Limits], Check]
    stages: tuple[str, ...] = ("signal", "order")
    sides: tuple[str, ...] = (Side.BUY,)
    limit: str | None = None
    switch: str | None = None
    trip: Trip | None = None

    def applies(self, facts: Facts, limits: Limits) -> bool:
        """Whether it is asked of this stage, side and profile."""
        asked = facts.asked
        return (
            asked.stage in self.stages
            and asked.side in self.sides
            and (self.limit is None or getattr(limits, self.limit) is not None)
        )

    def enforced(self, limits: Limits) -> bool:
        """Whether it refuses; switched off, it is only logged."""
        return self.switch is None or bool(getattr(limits, self.switch))


BOTH = (Side.BUY, Side.SELL)
SIGNAL, ORDER = ("signal",), ("order",)

LOST_DAY = Trip(losses.next_day, flatten=True, next_step="Trading begins again with the next UTC market day.")
DRAWN_DOWN = Trip(losses.when_resumed, flatten=True, next_step="Look at the closed positions, then resume.")
BROKEN = Trip(losses.after_cooldown, flatten=False, next_step="Trading begins again after the cooldown.")
WRONG = Trip(losses.when_resumed, flatten=False, next_step="Look at the judged signals of the last day, then resume.")

RULES: tuple[Rule, ...] = (
    Rule("stale", stale, SIGNAL, BOTH),
    Rule("signal_confidence", signal_confidence, sides=BOTH, stages=SIGNAL),
    Rule("execute_confidence", execute_confidence, sides=BOTH, stages=SIGNAL),
    Rule("pair", pair_allowed),
    Rule("no_signal", no_signal, ORDER),
    Rule("closing", closing, ORDER),
    Rule("market_data", market_data),
    Rule("daily_loss", losses.daily_loss, trip=LOST_DAY),
    Rule("drawdown", losses.drawdown, limit="drawdown_bp", trip=DRAWN_DOWN),
    Rule("breaker", losses.breaker, limit="breaker_bp", trip=BROKEN),
    Rule("accuracy", losses.accuracy, trip=WRONG),
    Rule("state", state),
    Rule("no_short", no_short, sides=(Side.SELL,)),
    Rule("min_hold", min_hold, SIGNAL, (Side.SELL,)),
    Rule("open_positions", amounts.open_positions),
    Rule("cooldown", cooldown),
    Rule("kelly", amounts.kelly, SIGNAL, limit="kelly_bp"),
    Rule("expected_value", amounts.expected_value, SIGNAL, switch="require_positive_ev"),
    Rule("min_trade", amounts.min_trade, SIGNAL),
    Rule("max_trade", amounts.max_trade),
    Rule("approved_size", amounts.approved_size, ORDER),
    Rule("position_limit", amounts.position_limit, limit="max_position_bp"),
    Rule("leverage", amounts.leverage),
    Rule("loss_budget", amounts.loss_budget),
    Rule("exit_feasible", amounts.exit_feasible),
    Rule("venue_minimum", amounts.venue_minimum, ORDER),
    Rule("correlation", amounts.correlation, limit="correlation_bp"),
    Rule("score", amounts.score, limit="reject_score"),
)


def tripped(facts: Facts, limits: Limits) -> list[tuple[Rule, Check]]:
    """The rules that stop trading as a whole and do not hold now."""
    stopping = [r for r in RULES if r.trip is not None and (r.limit is None or getattr(limits, r.limit) is not None)]
    found = [(rule, rule.check(facts, limits)) for rule in stopping]
    return [(rule, check) for rule, check in found if not check.ok]


def ask(facts: Facts, limits: Limits) -> list[tuple[Rule, Check]]:
    """Every rule that applies, with its answer, in the table's order."""
    return [(rule, rule.check(facts, limits)) for rule in RULES if rule.applies(facts, limits)]
