"""A world in which anything may happen to trading, and the limits as its own bookkeeping knows them.

The invariants here read rows and do their own sums: they share no line with the rules that they watch.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from scipy.stats import binom

from apps.core import parameters
from apps.trading.models import (
    Candle,
    Decision,
    Direction,
    Outcome,
    Plan,
    PlanStatus,
    Position,
    Round,
    Signal,
    SignalStatus,
    TradingState,
    Verdict,
)
from apps.trading.risk import check_order, decide_signal, exits_due, states
from apps.trading.risk.errors import StateRefused
from tests.apps.trading.risk import cast
from tests.apps.trading.risk.cast import FEE, NOW, PAIRS

PAIR = st.sampled_from(PAIRS)
PICK = st.integers(0, 9)
CONFIDENCE = st.sampled_from([0.5, 0.54, 0.55, 0.6, 0.64, 0.65, 0.7, 0.75, 0.8, 0.95])
SECONDS = st.sampled_from([60, 60, 60, 180, 240, 300, 1500, 1800, 3600, 40_000])
MOVES = st.sampled_from([-90, -31, -30, -10, 0, 0, 10, 30, 50, 51, 90])  # basis points, gentler than the exit's margin
RULES_OF_THE_HOUSE = {
    "max_open": ("risk.playbook.max_open", 3),
    "max_trade": ("risk.playbook.max_trade_cents", 500),
    "min_trade": ("risk.min_trade_cents", 100),
    "signal": ("risk.signal_confidence_bp", 5500),
    "execute": ("risk.execute_confidence_bp", 6500),
    "fee": ("risk.fee_bp", 10),
    "positive": ("risk.require_positive_ev", True),
    "minimum": ("risk.venue_minimum_cents", 100),
    "hold": ("risk.min_hold_s", 300),
}
CHANGES = st.sampled_from(
    [
        ("max_open", 2), ("max_open", 3), ("max_trade", 200), ("max_trade", 500), ("min_trade", 600),
        ("min_trade", 100), ("signal", 5500), ("execute", 0), ("execute", 6500), ("fee", 16), ("fee", 10),
        ("positive", False), ("positive", True), ("minimum", 300), ("minimum", 100), ("hold", 0), ("hold", 300),
    ]
)  # fmt: skip


class World(RuleBasedStateMachine):
    """Three pairs, a desk that executes what risk allows, a person who meddles, a clock that jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.sandbox: Any = transaction.atomic()
        self.sandbox._from_testcase = True
        self.sandbox.__enter__()
        parameters.forget_cached()
        self.house = {name: value for name, (_, value) in RULES_OF_THE_HOUSE.items()}
        self.stella = cast.staff()
        self.now = NOW
        self.prices = dict.fromkeys(PAIRS, Decimal(100))
        self.capital = Decimal(13)
        self.gaps_today = False
        self.waiting: list[tuple[Signal, Decision]] = []
        self.tick(60)

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.sandbox.__exit__(None, None, None)
        parameters.forget_cached()

    # What happens

    @initialize(capital=st.sampled_from([13, 300, 300]), lost=st.sampled_from(["0", "1.50", "1.80", "1.95"]))
    def begin(self, capital: int, lost: str) -> None:
        self.capital = Decimal(capital)
        parameters.set_parameter("risk.capital_cents", capital * 100, actor=None, reason="test", now=NOW)
        parameters.forget_cached()
        cast.lost(lost, self.now, "OLD-USD")

    def govern(self, change: tuple[str, Any]) -> None:
        """The network changes a limit, also under what runs."""
        name, value = change
        self.house[name] = value
        parameters.set_parameter(RULES_OF_THE_HOUSE[name][0], value, actor=None, reason="test", now=self.now)
        parameters.forget_cached()

    @rule(pair=PAIR, confidence=CONFIDENCE, age=st.sampled_from([0, 0, 0, 60, 1799, 1800, -60]))
    def signal(self, pair: str, confidence: float, age: int) -> None:
        signal = cast.signal(confidence, self.now - timedelta(seconds=age), pair=pair)
        self.decide(signal, age)

    @rule(pair=PAIR, confidence=st.sampled_from([0.7, 0.8]), fraction=st.sampled_from(["1", "1", "0.5"]))
    def trade(self, pair: str, confidence: float, fraction: str) -> None:
        """The common path at once: signal, round, plan, first order."""
        before = len(self.waiting)
        self.decide(cast.signal(confidence, self.now, pair=pair), 0)
        if len(self.waiting) > before:
            self.certify(before)
            self.order(0, fraction, 10)

    @rule(times=st.integers(2, 5))
    def trade_everything(self, times: int) -> None:
        for n in range(times):
            self.trade(PAIRS[n % 3], 0.8, "1")

    def decide(self, signal: Signal, age: int) -> None:
        decision = decide_signal(signal, self.now, self.now)
        assert decide_signal(signal, self.now, self.now).pk == decision.pk
        signal.refresh_from_db()
        if decision.verdict == Verdict.REFUSE:
            assert (signal.status, signal.reason) == (SignalStatus.PASSED, decision.reason)
            return
        assert signal.status == SignalStatus.ACTIVE
        assert 0 <= age < 1800, "a stale signal was allowed"
        assert round(signal.confidence * 10_000) >= max(self.house["signal"], self.house["execute"]), "weak"
        if signal.direction == Direction.LONG:
            self.entry_was_right(signal, decision)
            self.waiting.append((signal, decision))

    @rule(pick=PICK)
    def certify(self, pick: int) -> None:
        if self.waiting:
            signal, decision = self.waiting.pop(pick % len(self.waiting))
            cast.plan(signal, decision, self.now, self.prices[signal.pair])

    @rule(pick=PICK)
    def round_fails(self, pick: int) -> None:
        if self.waiting:
            signal, _ = self.waiting.pop(pick % len(self.waiting))
            Signal.objects.filter(pk=signal.pk).update(status=SignalStatus.PASSED, reason="no agreement")

    @rule(pick=PICK, fraction=st.sampled_from(["0.3", "0.5", "1", "1.5"]), worse=st.sampled_from([0, 10, 100]))
    def order(self, pick: int, fraction: str, worse: int) -> None:
        """The next order of an entry plan; a faulty desk asks for more than its plan has left, or at a worse price."""
        plans = list(Plan.objects.filter(purpose="ENTRY", status=PlanStatus.RUNNING).order_by("-created_at", "pk"))
        if not plans:
            return
        plan = plans[pick % len(plans)]
        limit = plan.limit_price * (1 + Decimal(worse) / 10_000) if worse > 10 else plan.limit_price
        quantity = (plan.quantity * Decimal(fraction)).quantize(Decimal("1e-8"))
        decision = check_order(plan, quantity, limit, self.now, self.now)
        if decision.verdict == Verdict.ALLOW:
            self.order_was_right(plan, quantity, limit)
            cast.buy(plan, min(quantity, plan.quantity - plan.filled_quantity), limit, self.now)
            self.bought(plan)

    def order_of_nobody(self, pick: int) -> None:
        """A plan that no certified signal stands behind buys nothing."""
        signal = cast.signal(0.8, self.now, pair=PAIRS[pick % 3])
        decision = decide_signal(signal, self.now, self.now)
        plan = cast.plan(signal, Decision(size_usd=decision.size_usd), self.now, self.prices[signal.pair])
        Round.objects.filter(signal=signal).update(outcome={"action": "HOLD"})
        found = check_order(plan, plan.quantity, plan.limit_price, self.now, self.now)
        assert found.verdict == Verdict.REFUSE, "no signal"
        Plan.objects.filter(pk=plan.pk).update(status=PlanStatus.CANCELLED)

    @rule(pair=PAIR)
    def short(self, pair: str) -> None:
        """A signal to sell: what is held long enough is sold."""
        signal = cast.signal(0.8, self.now, pair=pair, direction=Direction.SHORT)
        held = list(Position.objects.filter(pair=pair, closed_at=None))
        decision = decide_signal(signal, self.now, self.now)
        if decision.verdict == Verdict.REFUSE:
            assert not held or min(self.now - one.opened_at for one in held) < timedelta(seconds=self.house["hold"])
            return
        assert held, "sold what is not held"
        for position in held:
            self.close(position, "signal")

    @rule(seconds=SECONDS, moves=st.tuples(MOVES, MOVES, MOVES), venue_works=st.sampled_from([True, True, True, False]))
    def wait(self, seconds: int, moves: tuple[int, int, int], *, venue_works: bool) -> None:
        for pair, move in zip(PAIRS, moves, strict=True):
            self.prices[pair] *= 1 + Decimal(move) / 10_000
        self.tick(seconds)
        self.serve_exits(works=venue_works)

    @rule(moves=st.tuples(MOVES, MOVES, MOVES))
    def rest(self, moves: tuple[int, int, int]) -> None:
        """Half an hour passes and nothing is held up."""
        self.wait(1800, moves, venue_works=True)

    def crash(self, pair: str, bp: int) -> None:
        """A gap over every stop."""
        self.gaps_today = True
        self.prices[pair] *= 1 - Decimal(bp) / 10_000
        self.tick(60)
        self.serve_exits(works=True)

    def silence(self) -> None:
        """The market sends nothing for ten minutes; whatever is asked for then has a price that is too old."""
        self.now += timedelta(seconds=600)

    def judge(self, right: int, wrong: int) -> None:
        cast.judged(right, wrong, self.now)

    @rule(data=st.data(), what=st.sampled_from(["govern", "govern", "nobody", "crash", "silence", "judge", "person"]))
    def seldom(self, data: st.DataObject, what: str) -> None:
        """What does not happen every day, under one name so that most steps are trades."""
        if what == "govern":
            self.govern(data.draw(CHANGES))
        elif what == "nobody":
            self.order_of_nobody(data.draw(PICK))
        elif what == "crash":
            self.crash(data.draw(PAIR), data.draw(st.sampled_from([2000, 5000])))
        elif what == "silence":
            self.silence()
        elif what == "judge":
            self.judge(*data.draw(st.sampled_from([(9, 10), (12, 9), (9, 12), (1, 20), (0, 25)])))
        else:
            self.meddle(data.draw(st.sampled_from([states.pause, states.stop_and_flatten])))
            self.serve_exits(works=True)

    @rule()
    def resume(self) -> None:
        self.meddle(states.resume)

    def list_another(self) -> None:
        """A pair that nobody allowed has a market too."""
        self.prices["DOGE-USD"] = Decimal(100)
        self.tick(60)

    def leave_all(self) -> None:
        """Everything is sold while its entry may still run."""
        for position in self.open():
            self.close(position, "flatten")

    def meddle(self, action: Any) -> None:
        try:
            action(self.stella, "because", self.now, self.now)
        except StateRefused:
            return

    def tick(self, seconds: int) -> None:
        day = self.now.date()
        self.now += timedelta(seconds=seconds)
        if self.now.date() != day:
            self.gaps_today = False
        for pair, price in self.prices.items():
            cast.bar(pair, float(price), self.now)
            self.prices[pair] = Decimal(repr(float(price)))

    def serve_exits(self, *, works: bool) -> None:
        """The desk's turn: every exit that is due is tried, and none may be refused, whatever the state."""
        stopped = [one for one in self.open() if self.prices[one.pair] <= one.stop_loss]
        _, today, unrealised = self.results()
        due = exits_due(self.now, self.now)
        lost = -(today + min(unrealised, Decimal(0))) >= 2
        assert not lost or {one.pk for one in self.open()} == {position.pk for position, _ in due}, (
            "a lost day holds on"
        )
        assert {one.pk for one in stopped} <= {position.pk for position, _ in due}, "a stop was held back"
        if TradingState.objects.get().flattening:
            assert {one.pk for one in self.open()} == {position.pk for position, _ in due}, "not everything is sold"
        for position, reason in due:
            if works:
                self.close(position, reason)
            else:
                cast.exit_plan(position, self.now, PlanStatus.FAILED)
                self.gaps_today = True

    def close(self, position: Position, reason: str) -> None:
        plan = cast.exit_plan(position, self.now)
        price = self.prices[position.pair]
        decision = check_order(plan, position.quantity, price, self.now, self.now)
        assert decision.verdict == Verdict.ALLOW, "an exit was refused"
        if reason in {"take_profit", "signal"}:
            assert self.now - position.opened_at >= timedelta(seconds=self.house["hold"]), "sold before its time"
        cast.sell(position, price, self.now, reason)
        Plan.objects.filter(pk=plan.pk).update(status=PlanStatus.DONE)

    # What must hold

    def open(self) -> list[Position]:
        return list(Position.objects.filter(closed_at=None))

    def results(self) -> tuple[Decimal, Decimal, Decimal]:
        """Realised since ever, realised today, and unrealised with the fee of leaving."""
        none = Decimal(0)
        closed = list(Position.objects.filter(closed_at__isnull=False))
        of_today = [one for one in closed if one.closed_at and one.closed_at.date() == self.now.date()]
        ever, today = (sum((one.realised_pnl or none for one in rows), none) for rows in (closed, of_today))
        fee = 1 - Decimal(self.house["fee"]) / 10_000
        worth = (one.quantity * self.prices[one.pair] * fee - one.cost_usd - one.fees_usd for one in self.open())
        return ever, today, sum(worth, none)

    def entry_may_be(self) -> None:
        """What must hold whenever anything is bought."""
        row = TradingState.objects.get()
        assert row.state == "ACTIVE", "bought while halted"
        _, today, unrealised = self.results()
        assert -(today + min(unrealised, Decimal(0))) < 2, "the day is lost"
        since: datetime = max(self.now - timedelta(days=1), row.measured_from or NOW - timedelta(days=9))
        judged = Outcome.objects.filter(judged_at__gt=since, judged_at__lte=self.now)
        n, right = judged.count(), judged.filter(correct=True).count()
        assert n < 20 or right / n >= 0.45 or binom.cdf(right, n, 0.45) > 0.0499, "signals are wrong"
        last = Candle.objects.order_by("-opened_at")[0].opened_at + timedelta(seconds=60)
        assert self.now - last <= timedelta(seconds=180), "no price of now"

    def entry_was_right(self, signal: Signal, decision: Decision) -> None:
        self.entry_may_be()
        assert signal.pair in PAIRS, "no such pair"
        assert decision.size_usd is not None
        assert self.house["min_trade"] <= decision.size_usd * 100 <= self.house["max_trade"], "size"
        p, fee = Decimal(repr(signal.confidence)), self.house["fee"]
        assert not self.house["positive"] or p * 50 - (1 - p) * 30 - 2 * fee >= 0, "expected loss"
        left = decision.size_usd * Decimal("0.997") * Decimal("0.99") * (1 - Decimal(fee) / 10_000)
        assert left * 100 >= self.house["minimum"], "could not be sold"
        busy = [one.plan_usd for one in self.busy() if one.pair != signal.pair or one.signal_id != signal.pk]
        assert len(busy) + 1 <= self.house["max_open"], "positions"
        ever, _, unrealised = self.results()
        assert sum(busy, decision.size_usd) <= self.capital + ever + unrealised, "exposure"
        self.rested(signal)

    def busy(self) -> list[Any]:
        """Open positions, plans without one and allowed signals, with what each holds or may come to hold."""
        found: list[Any] = self.open()
        for one in found:
            plan = Plan.objects.filter(signal=one.signal_id, purpose="ENTRY", status=PlanStatus.RUNNING).first()
            left = (plan.quantity - plan.filled_quantity) * plan.limit_price if plan else Decimal(0)
            one.plan_usd = one.cost_usd + left
        having = {one.signal_id for one in found}
        for plan in Plan.objects.filter(purpose="ENTRY", status=PlanStatus.RUNNING).exclude(signal__in=having):
            bought = Position.objects.filter(signal=plan.signal).exists()
            plan.plan_usd = plan.quantity * plan.limit_price if not bought else Decimal(0)
            found.append(plan)
        for signal, decision in self.waiting:
            if signal.expires_at > self.now:
                signal.plan_usd = decision.size_usd  # type: ignore[attr-defined]
                signal.signal_id = signal.pk  # type: ignore[attr-defined]
                found.append(signal)
        return found

    def rested(self, signal: Signal) -> None:
        for one in Position.objects.filter(pair=signal.pair).exclude(signal=signal):
            last = one.closed_at or one.opened_at
            assert self.now - last >= timedelta(seconds=1800), "no rest"

    def order_was_right(self, plan: Plan, quantity: Decimal, limit: Decimal) -> None:
        assert plan.signal is not None
        self.entry_may_be()
        self.rested(plan.signal)
        own = Position.objects.filter(signal=plan.signal).first()
        assert own is None or own.closed_at is None, "bought what was being sold"
        usd, approved = quantity * limit, Decision.objects.get(signal=plan.signal, stage="signal").size_usd
        total = plan.filled_usd + usd
        assert approved is not None
        assert total <= approved, "more than allowed"
        assert total * 100 <= self.house["max_trade"], "size"
        assert usd * 100 >= self.house["minimum"], "the venue takes no such order"
        left = total * Decimal("0.997") * Decimal("0.99") * (1 - Decimal(self.house["fee"]) / 10_000)
        assert left * 100 >= self.house["minimum"], "could not be sold"
        _, today, _ = self.results()
        share = Decimal("0.003") + Decimal("0.01") + 2 * Decimal(self.house["fee"]) / 10_000
        worst = Decimal("0.99") * (1 - FEE)
        stopped = sum(
            (one.quantity * one.stop_loss * worst - one.cost_usd - one.fees_usd for one in self.open()), Decimal(0)
        )
        assert -(today + stopped) + usd * share <= Decimal("2.01"), "a stop-out would lose the day"

    def bought(self, plan: Plan) -> None:
        ever, _, unrealised = self.results()
        assert len(self.open()) <= self.house["max_open"], "positions"
        # A buyer's own fee is paid with the purchase.
        exposure = sum((one.cost_usd for one in self.open()), Decimal(0))
        assert exposure * (1 - 2 * FEE) <= self.capital + ever + unrealised, "exposure"
