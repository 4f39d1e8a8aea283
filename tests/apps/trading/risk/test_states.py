"""Active, reducing, halted: who changes it, what it says, what it allows, and the record of each change."""

from datetime import timedelta

import pytest

from apps.core.models import Event, User
from apps.trading.models import Order, OrderStatus, Side, StateChange, TradingState
from apps.trading.risk import decide_signal, exits_due, states, tasks
from apps.trading.risk.errors import NotStaff, StateRefused
from tests.apps.trading.risk import cast
from tests.apps.trading.risk.cast import BTC, NOW, later

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def market(db: None) -> None:
    cast.market()


@pytest.fixture
def stella() -> User:
    return cast.staff()


def rule_now(pair: str = BTC, seconds: float = 0) -> str:
    return decide_signal(cast.signal(pair=pair, now=later(seconds)), later(seconds), later(seconds)).rule


def test_staff_pauses_and_resumes_and_both_are_recorded(stella: User) -> None:
    row = states.pause(stella, "a look at the detectors", NOW, NOW)
    assert (row.state, row.reason, row.next_step) == ("HALTED", "a look at the detectors", "Resume when you are done.")
    assert rule_now() == "state"
    assert states.resume(stella, "all is well", later(60), later(61)).state == "ACTIVE"
    assert rule_now("ETH-USD") == "allowed"
    found = list(StateChange.objects.order_by("pk"))
    assert [(one.new, one.actor, one.reason) for one in found] == [
        ("HALTED", stella, "a look at the detectors"),
        ("ACTIVE", stella, "all is well"),
    ]
    assert (found[1].market_at, found[1].at) == (later(60), later(61))
    assert Event.objects.filter(kind="trading.state", actor=stella).count() == 2


@pytest.mark.parametrize("action", [states.pause, states.resume, states.stop_and_flatten])
def test_only_staff_may_change_the_state(action: object) -> None:
    walter = User.objects.create_user("walter@example.org", "secret")
    with pytest.raises(NotStaff):
        action(walter, "because", NOW, NOW)  # type: ignore[operator]
    assert not StateChange.objects.exists()


def test_a_change_without_a_reason_is_refused(stella: User) -> None:
    with pytest.raises(StateRefused, match="Say why"):
        states.pause(stella, "  ", NOW, NOW)


def test_what_is_so_already_is_refused(stella: User) -> None:
    with pytest.raises(StateRefused, match="active"):
        states.resume(stella, "why not", NOW, NOW)
    states.pause(stella, "once", NOW, NOW)
    with pytest.raises(StateRefused, match="HALTED already"):
        states.pause(stella, "twice", NOW, NOW)


def test_stop_and_flatten_sells_everything_at_once_even_after_a_pause(stella: User) -> None:
    held = cast.position(BTC, now=NOW)
    states.pause(stella, "hm", NOW, NOW)
    assert exits_due(NOW, NOW) == []
    states.stop_and_flatten(stella, "now", NOW, NOW)
    assert exits_due(NOW, NOW) == [(held, "flatten")]
    assert cast.changes() == [("ACTIVE", "HALTED", "paused"), ("HALTED", "HALTED", "flatten")]


def test_reducing_ends_by_itself_only_for_its_own_cause(stella: User) -> None:
    states.reduce("unknown_order", "An order's outcome is unknown.", NOW, NOW)
    assert rule_now() == "state"
    assert states.relieve("source_lost", "The market is back.", NOW, NOW).state == "REDUCING"
    assert states.relieve("unknown_order", "It was filled.", NOW, NOW).state == "ACTIVE"


def test_a_halt_is_not_softened(stella: User) -> None:
    states.pause(stella, "hm", NOW, NOW)
    assert states.reduce("unknown_order", "An order's outcome is unknown.", NOW, NOW).rule == "paused"
    assert states.relieve("paused", "x", NOW, NOW).state == "HALTED"


def test_nobody_resumes_while_an_order_is_unknown(stella: User) -> None:
    signal = cast.signal()
    plan = cast.plan(signal, decide_signal(signal, NOW, NOW))
    Order.objects.create(
        id="a", plan=plan, slice=0, side=Side.BUY, quantity=1, limit_price=1, status=OrderStatus.UNKNOWN,
        market_at=NOW, prepared_at=NOW,
    )  # fmt: skip
    states.reduce("unknown_order", "An order's outcome is unknown.", NOW, NOW)
    with pytest.raises(StateRefused, match="outcome of 1 orders"):
        states.resume(stella, "it will be fine", NOW, NOW)


def test_nobody_resumes_a_lost_day(stella: User) -> None:
    cast.lost("3")
    assert rule_now() == "daily_loss"
    with pytest.raises(StateRefused, match="The day has lost"):
        states.resume(stella, "one more try", NOW, NOW)


def test_resuming_draws_a_line_under_wrong_signals(stella: User) -> None:
    cast.judged(0, 30, NOW)
    assert rule_now() == "accuracy"
    states.resume(stella, "the detector was mended", later(1), later(1))
    assert rule_now("ETH-USD", 1) == "allowed"


def test_a_pause_outlasts_a_lost_day(stella: User) -> None:
    states.pause(stella, "hm", NOW, NOW)
    cast.lost("3")
    exits_due(NOW, NOW)
    row = TradingState.objects.get()
    assert (row.rule, row.until, row.flattening) == ("daily_loss", None, True)
    tomorrow = 86_400
    exits_due(later(tomorrow), later(tomorrow))
    assert TradingState.objects.get().state == "HALTED"
    states.resume(stella, "a new day", later(tomorrow), later(tomorrow))


def test_a_lost_day_does_not_outlast_itself_where_the_market_goes_back_to_an_older_recording() -> None:
    cast.lost("3")
    exits_due(NOW, NOW)
    assert TradingState.objects.get().state == "HALTED"
    old = NOW - timedelta(days=400)
    exits_due(old, later(10))
    assert TradingState.objects.get().state == "ACTIVE"


def test_a_halt_is_found_by_the_clock_when_nobody_trades() -> None:
    assert tasks.watch() == "ACTIVE"
    row = cast.lost("3")
    from workers.protocol.clock import utcnow

    row.closed_at = utcnow()
    row.save()
    assert tasks.watch() == "HALTED"
