"""Positions are closed by stop, profit and halts, in that order of strictness, and nothing stands in the way."""

from decimal import Decimal

import pytest

from apps.core.models import User
from apps.trading.models import Decision, EquityMark, PlanStatus, Position, TradingState
from apps.trading.risk import exits_due, states
from tests.apps.trading.risk import cast
from tests.apps.trading.risk.cast import BTC, ETH, NOW, later

pytestmark = pytest.mark.django_db


def due(seconds: float) -> list[tuple[Position, str]]:
    return exits_due(later(seconds), later(seconds))


def test_a_stop_loss_does_not_wait_for_the_minimum_hold() -> None:
    held = cast.position(BTC, "0.01", 100)
    cast.bar(BTC, 99.71, later(60))
    assert due(60) == []
    cast.bar(BTC, 99.70, later(120))
    assert due(120) == [(held, "stop_loss")]
    decision = Decision.objects.get()
    assert (decision.stage, decision.verdict, decision.rule, decision.position) == ("exit", "ALLOW", "stop_loss", held)
    assert decision.reason == ("The price fell to 99.7; the stop loss is at 99.7. 0.01 is worth $1.00.")


def test_a_stop_counts_though_time_jumped_over_it() -> None:
    held = cast.position(BTC)
    cast.bar(BTC, 100, later(180), low=99.0)
    cast.bar(BTC, 100.4, later(7200))
    assert due(7200) == [(held, "stop_loss")]


def test_a_low_before_the_entry_is_not_a_stop() -> None:
    cast.bar(BTC, 99, later(0), low=90)
    cast.position(BTC, now=later(1))
    cast.bar(BTC, 100, later(60), low=90)  # opened before the entry, and its low may be from then
    assert due(61) == []


def test_a_profit_is_taken_after_the_minimum_hold() -> None:
    held = cast.position(BTC)
    cast.bar(BTC, 100.5, later(240))
    assert due(299) == []
    assert due(300) == [(held, "take_profit")]


def test_a_lost_day_sells_everything_whatever_its_hold() -> None:
    cast.lost("2")
    held = [cast.position(BTC, now=NOW), cast.position(ETH, now=later(1))]
    assert due(2) == [(held[0], "daily_loss"), (held[1], "daily_loss")]
    assert TradingState.objects.get().state == "HALTED"


def test_an_exit_is_asked_for_until_it_runs_and_decided_once_an_attempt() -> None:
    held = cast.position(BTC)
    cast.bar(BTC, 99, later(60))
    assert due(60) == due(61) == [(held, "stop_loss")]
    assert Decision.objects.count() == 1
    plan = cast.exit_plan(held, later(62))
    assert due(62) == []
    plan.status = PlanStatus.FAILED
    plan.save()
    assert due(63) == [(held, "stop_loss")]
    assert Decision.objects.count() == 2


def test_a_paused_exit_does_not_override_a_stop() -> None:
    held = cast.position(BTC)
    cast.exit_plan(held, NOW, PlanStatus.PAUSED)
    cast.bar(BTC, 99, later(60))
    assert due(60) == due(61) == [(held, "stop_loss")]
    assert Decision.objects.count() == 1


def test_a_position_without_any_price_can_still_be_flattened() -> None:
    held = cast.position("DOGE-USD")
    assert due(60) == []
    stella: User = cast.staff()
    states.stop_and_flatten(stella, "out", later(61), later(61))
    assert due(61) == [(held, "flatten")]


def test_equity_is_kept_by_the_minute_and_counts_open_positions_after_fees() -> None:
    cast.position(BTC, "0.01", 100)
    for second in (0, 30, 60, 90):
        due(second)
    cast.bar(BTC, 101, later(120))
    due(120)
    marks = list(EquityMark.objects.order_by("market_at"))
    assert [(mark.market_at - NOW).total_seconds() for mark in marks] == [0, 60, 120]
    # Bought for $1.00 and 0.1%, worth $1.01 less 0.1%.
    assert marks[-1].equity_usd == Decimal("13") - Decimal("1.001") + Decimal("1.01") * Decimal("0.999")
