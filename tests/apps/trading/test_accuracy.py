"""Accuracy: by the price a quarter of an hour later, never by a price that is not there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core import parameters
from apps.trading import accuracy, market_time
from apps.trading.models import Direction, Outcome, Source
from tests.apps.trading.scan_cast import NOW, later, price, signal, together


@pytest.fixture(autouse=True)
def clean() -> None:
    parameters.forget_cached()


def market(entry: float, exit_: float) -> None:
    price(NOW, entry)
    price(later(900), exit_)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("direction", "exit_", "pnl", "correct"),
    [
        (Direction.LONG, 101.0, 0.01, True),
        (Direction.LONG, 99.0, -0.01, False),
        (Direction.SHORT, 99.0, 0.01, True),
        (Direction.SHORT, 101.0, -0.01, False),
        (Direction.LONG, 100.0, 0.0, False),
    ],
)
def test_a_signal_is_right_when_the_price_went_its_way(direction: str, exit_: float, pnl: float, correct: bool) -> None:
    market(100.0, exit_)
    signal(direction=direction)
    assert accuracy.judge_due(later(900)) == 1
    outcome = Outcome.objects.get()
    assert outcome.pnl == pytest.approx(pnl)
    assert outcome.correct == correct
    assert outcome.pnl_after_fees == pytest.approx(pnl - 0.001 * (1 + exit_ / 100))
    assert outcome.judged_at == later(900)


@pytest.mark.django_db
def test_a_signal_is_judged_once_and_not_before_its_time() -> None:
    market(100.0, 101.0)
    signal()
    assert accuracy.judge_due(later(899)) == 0
    assert accuracy.judge_due(later(900)) == 1
    assert accuracy.judge_due(later(960)) == 0


@pytest.mark.django_db(transaction=True)
def test_two_judges_make_one_outcome() -> None:
    market(100.0, 101.0)
    signal()
    judged = together(*[lambda: accuracy.judge_due(later(900))] * 3)
    assert sum(judged) == Outcome.objects.count() == 1


@pytest.mark.django_db
def test_over_a_gap_nothing_is_judged_until_the_bar_comes_or_a_day_has_passed() -> None:
    price(NOW, 100.0)
    signal()
    assert accuracy.judge_due(later(900)) == 0
    price(later(900), 101.0)
    assert accuracy.judge_due(later(90_000)) == 0
    assert accuracy.judge_due(later(80_000)) == 1


@pytest.mark.django_db
def test_a_summary_counts_its_window_only() -> None:
    price(NOW, 100.0)
    price(later(900), 101.0)
    signal(direction=Direction.LONG)
    signal(direction=Direction.LONG)
    signal(direction=Direction.SHORT)
    signal(direction=Direction.SHORT, market_at=later(800))
    accuracy.judge_due(later(900))
    told = accuracy.summary(24, later(900))
    assert (told.signals, told.judged, told.correct, told.wins, told.losses) == (4, 3, 2, 2, 1)
    assert told.accuracy == pytest.approx(2 / 3)
    assert told.total_pnl == pytest.approx(0.01)
    assert told.win_loss == 2.0
    assert told.total_pnl_after_fees == pytest.approx(0.01 - 3 * 0.00201)
    assert (told.signals_per_day, told.per_day) == (4.0, 3.0)
    assert accuracy.summary(12, later(900)).signals_per_day == 8.0
    assert (told.enough, told.quality) == (False, "too few")
    later_on = accuracy.summary(0.1, later(900))
    assert (later_on.signals, later_on.judged, later_on.accuracy, later_on.win_loss) == (1, 0, None, None)


@pytest.mark.django_db
def test_a_replay_and_the_present_are_not_mixed() -> None:
    market(100.0, 101.0)
    signal(source=Source.REPLAY)
    assert accuracy.judge_due(later(900)) == 0
    market_time.start_replay("A recording.", NOW, later(900), NOW)
    price(NOW, 50.0, source=Source.REPLAY)
    price(later(900), 49.0, source=Source.REPLAY)
    assert accuracy.judge_due(later(900)) == 1
    assert Outcome.objects.get().entry_price == 50.0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("share", "word"), [(None, "too few"), (0.49, "worse than random"), (0.5, "undecided"), (0.56, "good")]
)
def test_an_accuracy_has_its_word(share: float | None, word: str) -> None:
    assert accuracy.quality(share, enough=True) == word


@pytest.mark.django_db
def test_the_break_even_of_the_summary_is_that_of_the_limits_in_force() -> None:
    assert accuracy.summary(24, NOW).break_even == 0.625


@given(entry=st.floats(0.01, 1e6), ratio=st.floats(0.5, 2), fee=st.integers(0, 1000))
def test_fees_only_ever_cost_and_sides_mirror(entry: float, ratio: float, fee: int) -> None:
    exit_ = entry * ratio
    long, short = (accuracy.pnl_of(side, entry, exit_) for side in (Direction.LONG, Direction.SHORT))
    assert long == -short
    for pnl in (long, short):
        assert accuracy.after_fees(pnl, entry, exit_, fee) <= pnl
    bought, sold = entry * (1 + fee / 10_000), exit_ * (1 - fee / 10_000)
    assert accuracy.after_fees(long, entry, exit_, fee) == pytest.approx((sold - bought) / entry, abs=1e-9)
