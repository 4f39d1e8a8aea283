"""Positions, and a desk at which anything may happen: coins and dollars are conserved, fills never exceed an order."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from apps.core import parameters
from apps.core.models import User
from apps.trading import execution, positions, reconciliation
from apps.trading.errors import OrderRefused
from apps.trading.exchange import paper
from apps.trading.models import Candle, Plan, PlanStatus, Position, Purpose, Round, RoundStatus, Side, VenueFault
from apps.trading.risk import decide_signal, limits, sizing
from tests.apps.trading import market_cast as cast
from tests.apps.trading.market_cast import BTC, NOW, at


@pytest.mark.django_db
class TestMark:
    def test_capital_without_positions_is_cash(self) -> None:
        parameters.forget_cached()
        cast.bars()
        found = positions.mark(NOW)
        assert (found.cash, found.equity, found.exposure, found.today) == (13, 13, 0, 0)

    def test_what_is_held_is_worth_what_selling_it_leaves(self) -> None:
        parameters.forget_cached()
        cast.bars()
        position = cast.held()
        cast.bars(first=6, last=12, close=4010.0)
        found = positions.mark(at(8))
        value = position.quantity * 4010
        assert found.exposure == value
        assert found.cash == 13 - position.cost_usd - position.fees_usd == cast.balance()
        assert found.unrealised == value * Decimal("0.999") - position.cost_usd - position.fees_usd
        assert found.equity == 13 + found.unrealised

    def test_profit_is_capital_for_the_next_size(self) -> None:
        parameters.forget_cached()
        cast.govern(risk__capital_cents=10_000)
        cast.bars()
        before = sizing.formula(limits.current(), 8000, Decimal(100), Decimal(100), 10)
        position = cast.held()
        cast.bars(first=6, last=80, close=8000.0)
        execution.open_exit(position, "take_profit", at(8))
        cast.run(1, first=8)
        earned = Position.objects.get().realised_pnl
        assert earned is not None
        assert earned > 0
        found = positions.mark(at(9))
        assert (found.capital, found.realised_today, found.cash) == (100 + earned, earned, cast.balance())
        assert sizing.formula(limits.current(), 8000, found.capital, found.equity, 10) > before

    def test_two_purchases_share_one_entry_price(self) -> None:
        parameters.forget_cached()
        cast.bars()
        plan = cast.entry("2.5")
        cast.run(1)
        cast.bars(first=1, last=30, close=4010.0)
        cast.run(1, first=1)
        position = Position.objects.get()
        plan.refresh_from_db()
        assert position.cost_usd == plan.filled_usd
        assert abs(position.entry_price - plan.filled_usd / plan.filled_quantity) < Decimal("1e-9")
        assert position.stop_loss == (position.entry_price * Decimal("0.997")).quantize(Decimal("1e-12"))


PICK = st.integers(0, 9)
FAULTS = st.sampled_from(["timeout", "lost", "reject", "half", "away"])
CLOSES = st.sampled_from([3960.0, 3990.0, 4000.0, 4005.0, 4030.0])
VOLUMES = st.sampled_from([0.0, 0.005, 0.02, 50.0])


class Desk(RuleBasedStateMachine):
    """Signals, faults, staff and a market that moves, thins out and has gaps."""

    def __init__(self) -> None:
        super().__init__()
        self.sandbox: Any = transaction.atomic()
        self.sandbox._from_testcase = True
        self.sandbox.__enter__()
        parameters.forget_cached()
        self.stella: User = cast.staff()
        self.minute = 0

    def teardown(self) -> None:
        try:
            self.settled()
        finally:
            transaction.set_rollback(True)
            self.sandbox.__exit__(None, None, None)
            parameters.forget_cached()

    @property
    def now(self) -> Any:
        return at(self.minute)

    @initialize(capital=st.sampled_from([1_300, 5_000]))
    def begin(self, capital: int) -> None:
        cast.govern(risk__capital_cents=capital, risk__cooldown_s=0, risk__playbook__daily_loss_cents=5_000)
        self.pass_minute(4000.0, 50.0)

    def pass_minute(self, close: float, volume: float) -> None:
        self.minute += 1
        cast.bars(first=self.minute, last=self.minute, close=close, volume=volume)

    @rule(close=CLOSES, volume=VOLUMES, advance=st.booleans())
    def minute_goes_by(self, close: float, volume: float, advance: bool) -> None:
        self.pass_minute(close, volume)
        if advance:
            execution.advance(self.now, self.now)

    @rule()
    def gap(self) -> None:
        self.minute += 1
        execution.advance(self.now, self.now)

    @rule(usd=st.sampled_from(["1.02", "2.5", "5"]))
    def buy(self, usd: str) -> None:
        cents = int(Decimal(usd) * 100)
        cast.govern(risk__min_trade_cents=cents, risk__playbook__max_trade_cents=cents)
        signal = cast.signal(self.now)
        decision = decide_signal(signal, self.now, self.now)
        if decision.verdict == "ALLOW" and decision.size_usd is not None:
            bar = Candle.objects.filter(pair=BTC).latest("opened_at")
            agreed: Round = cast.certified(signal, self.now)
            assert agreed.status == RoundStatus.CERTIFIED
            execution.open_entry(signal, agreed, decision.size_usd, Side.BUY, Decimal(repr(bar.close)), self.now)

    @rule(pick=PICK)
    def sell(self, pick: int) -> None:
        held = list(positions.open())
        if held:
            execution.open_exit(held[pick % len(held)], "signal", self.now)

    @rule(kind=FAULTS, times=st.integers(1, 3))
    def fault(self, kind: str, times: int) -> None:
        paper.show_fault(kind, times)

    @rule(pick=PICK, act=st.sampled_from([execution.pause, execution.resume, execution.cancel]))
    def meddle(self, pick: int, act: Any) -> None:
        plans = list(Plan.objects.order_by("created_at", "pk"))
        if plans:
            try:
                act(plans[pick % len(plans)], self.stella, "meddling", self.now)
            except OrderRefused:
                return

    @invariant()
    def nothing_is_short_or_overfilled(self) -> None:
        """The database says so, too; this says it of the sums."""
        for plan in Plan.objects.all():
            assert plan.filled_quantity <= plan.quantity
        for position in Position.objects.all():
            assert position.quantity >= 0

    def settled(self) -> None:
        """Faults end, plans end, and the books of both sides agree."""
        VenueFault.objects.all().delete()
        for _ in range(12):
            self.pass_minute(4000.0, 50.0)
            execution.advance(self.now, self.now)
        cast.check_books()
        assert not Plan.objects.filter(status__in=[PlanStatus.PENDING, PlanStatus.RUNNING]).exists()
        row = reconciliation.run(self.now, self.now)
        assert row.ok, row.findings
        for position in positions.open():
            execution.open_exit(position, "flatten", self.now)
        # As long as an exit tries at most.
        for _ in range(6):
            self.pass_minute(4000.0, 50.0)
            execution.advance(self.now, self.now)
        # The venue asks a dollar of what a sale brings, which is less than the price says by the slippage.
        worth = [position.quantity * 4000 for position in positions.open()]
        assert all(usd < Decimal("1.01") for usd in worth), "what the venue would take is sold"
        assert reconciliation.run(self.now, self.now).ok
        assert not Plan.objects.filter(purpose=Purpose.EXIT, status=PlanStatus.RUNNING).exists()


@pytest.mark.django_db
def test_whatever_happens_at_the_desk_coins_and_dollars_are_conserved() -> None:
    play(12, 20)


@pytest.mark.long
@pytest.mark.django_db
def test_whatever_happens_at_the_desk_for_long() -> None:
    play(150, 40)


def play(examples: int, steps: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Desk,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
