"""Two decisions at one moment: together they exceed no limit, and neither is lost or made twice."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from apps.core import parameters
from apps.trading.models import Decision, Signal, SignalStatus, StateChange, Verdict
from apps.trading.risk import check_order, decide_signal, exits_due
from tests.apps.trading.risk import cast
from tests.apps.trading.risk.cast import BTC, ETH, NOW, PAIRS, SOL, later

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 5


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Every call in a thread of its own, begun at one moment."""
    ready = threading.Barrier(len(calls))

    def one(call: Callable[[], Any]) -> Any:
        try:
            ready.wait()
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(one, calls))


@pytest.fixture(autouse=True)
def market(db: None) -> None:
    cast.market()


def deciding(signal: Signal, now: Any = NOW) -> Callable[[], Decision]:
    return lambda: decide_signal(signal, now, now)


def test_signals_decided_at_once_do_not_together_open_too_many_positions() -> None:
    parameters.set_parameter("risk.cooldown_s", 0, actor=None, reason="test", now=NOW)
    parameters.forget_cached()
    cast.position(SOL, now=later(-7200))
    for _ in range(ROUNDS):
        signals = [cast.signal(pair=pair) for pair in PAIRS * 2]
        rules = Counter(one.rule for one in together(*map(deciding, signals)))
        assert rules == {"allowed": 2, "open_positions": 4}
        Signal.objects.filter(status=SignalStatus.ACTIVE).update(status=SignalStatus.PASSED, reason="test")


def test_signals_of_one_pair_decided_at_once_are_one_entry() -> None:
    for _ in range(ROUNDS):
        signals = [cast.signal() for _ in range(4)]
        rules = Counter(one.rule for one in together(*map(deciding, signals)))
        assert rules == {"allowed": 1, "cooldown": 3}
        Signal.objects.filter(status=SignalStatus.ACTIVE).update(status=SignalStatus.PASSED, reason="test")


def test_one_signal_decided_by_two_is_decided_once() -> None:
    for _ in range(ROUNDS):
        signal = cast.signal(0.60)
        found = together(*[deciding(signal)] * 4)
        assert len({one.pk for one in found}) == 1
        assert Decision.objects.filter(signal=signal).count() == 1


def test_the_capital_is_not_spent_twice() -> None:
    parameters.set_parameter("risk.capital_cents", 150, actor=None, reason="test", now=NOW)
    parameters.forget_cached()
    rules = Counter(one.rule for one in together(*(deciding(cast.signal(pair=pair)) for pair in (BTC, ETH))))
    assert rules == {"allowed": 1, "leverage": 1}


def test_a_decision_that_is_not_committed_holds_up_the_next() -> None:
    """Without the lock the second would not see the first's reservation."""
    first, second = cast.signal(), cast.signal()
    begun = threading.Event()

    def other() -> Decision:
        try:
            begun.set()
            return decide_signal(second, NOW, NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            assert decide_signal(first, NOW, NOW).verdict == Verdict.ALLOW
            waiting = thread.submit(other)
            begun.wait()
        assert waiting.result().rule == "cooldown"


def test_a_crash_before_the_commit_loses_decision_and_mark_together() -> None:
    signal = cast.signal(0.60)

    def die() -> None:
        with transaction.atomic():
            decide_signal(signal, NOW, NOW)
            raise RuntimeError("the process died")

    with pytest.raises(RuntimeError):
        die()
    signal.refresh_from_db()
    assert (signal.status, Decision.objects.count()) == (SignalStatus.ACTIVE, 0)
    assert decide_signal(signal, NOW, NOW).rule == "execute_confidence"


def test_a_day_that_is_lost_is_halted_once_by_whoever_comes_first() -> None:
    cast.lost("2")
    signal = cast.signal()
    plan_signal = cast.signal(pair=ETH)
    plan = cast.plan(plan_signal, Decision(size_usd=1))
    together(
        deciding(signal),
        lambda: exits_due(NOW, NOW),
        lambda: check_order(plan, plan.quantity, plan.limit_price, NOW, NOW),
        lambda: exits_due(NOW, NOW),
    )
    assert StateChange.objects.count() == 1
