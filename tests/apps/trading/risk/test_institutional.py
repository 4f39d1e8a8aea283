"""The institutional profile: shares of equity, drawdown, breaker, correlation, Kelly and score, in the same table."""

import math
from collections.abc import Callable
from decimal import Decimal

import pytest

from apps.trading.models import Candle, Decision, EquityMark, Source, TradingState
from apps.trading.risk import check_order, decide_signal, exits_due, rules, states
from tests.apps.trading.risk import cast
from tests.apps.trading.risk.cast import BTC, ETH, NOW, SOL, later

pytestmark = pytest.mark.django_db
Govern = Callable[..., None]


def history(pair: str, wave: Callable[[int], float]) -> None:
    """Two hours of bars of which the last is complete now."""
    rows = []
    for n in range(121):
        close = 100 * math.exp(wave(n))
        opened = later(-60 * (121 - n))
        rows.append(
            Candle(source=Source.LIVE, venue="paper", pair=pair, opened_at=opened, open=close, high=close, low=close,
                   close=close, volume=1)
        )  # fmt: skip
    Candle.objects.bulk_create(rows)


def calm(n: int) -> float:
    return 0.0002 * math.sin(n)


def other(n: int) -> float:
    return 0.0002 * math.sin(2.3 * n + 1)


@pytest.fixture(autouse=True)
def institutional(govern: Govern) -> None:
    govern(profile="institutional", capital_cents=10_000_000, max_price_age_s=86_400)
    history(BTC, calm)
    history(ETH, other)


def decide(pair: str = BTC, confidence: float = 0.70, seconds: float = 0) -> Decision:
    now = later(seconds)
    return decide_signal(cast.signal(confidence, now, pair=pair), now, now)


def checks(decision: Decision) -> dict[str, bool]:
    return {check["rule"]: check["ok"] for check in decision.checks}


def test_a_quarter_of_kelly_is_allowed_and_every_institutional_rule_was_asked() -> None:
    decision = decide()
    assert (decision.rule, decision.profile, decision.size_usd) == ("allowed", "institutional", Decimal(5000))
    assert set(checks(decision)) >= {"drawdown", "breaker", "position_limit", "kelly", "correlation", "score"}


def test_the_playbook_knows_none_of_them(govern: Govern) -> None:
    govern(profile="playbook")
    assert not set(checks(decide())) & {"drawdown", "breaker", "position_limit", "kelly", "correlation", "score"}


def test_no_position_is_above_a_tenth_of_equity() -> None:
    assert decide(confidence=0.99).size_usd == Decimal(10_000)
    signal = cast.signal(pair=ETH)
    plan = cast.plan(signal, decide_signal(signal, NOW, NOW))
    Decision.objects.filter(signal=signal).update(size_usd=20_000)
    assert check_order(plan, Decimal(101), Decimal(100), NOW, NOW).rule == "max_trade"


def test_too_little_capital_for_a_quarter_of_kelly_is_refused(govern: Govern) -> None:
    govern(capital_cents=1300)
    assert decide().rule == "min_trade"


def test_where_kelly_says_not_to_enter_nothing_is(govern: Govern) -> None:
    govern(fee_bp=20, require_positive_ev=False)
    assert decide().rule == "kelly"


def test_three_percent_of_capital_is_a_lost_day() -> None:
    cast.lost("2999.99")
    assert decide().rule == "loss_budget"
    cast.lost("0.01")
    assert decide(ETH).rule == "daily_loss"


def test_a_drawdown_of_fifteen_percent_sells_everything_until_a_person_resumes() -> None:
    stella = cast.staff()
    cast.lost("15000", later(-7 * 86_400))
    held = cast.position(BTC, now=later(-60))
    assert exits_due(NOW, NOW) == [(held, "drawdown")]
    assert decide(ETH).rule == "drawdown"
    cast.sell(held, 100, NOW)
    states.resume(stella, "looked at", NOW, NOW)
    assert decide(ETH, seconds=1).rule == "allowed"


def test_a_fall_of_five_percent_within_an_hour_breaks_trading_for_an_hour() -> None:
    exits_due(later(-1800), NOW)
    EquityMark.objects.update(pnl_usd=6000)
    assert decide().rule == "breaker"
    state = TradingState.objects.get()
    assert (state.rule, state.until, state.flattening) == ("breaker", later(3600), False)
    assert decide(seconds=3599).rule == "state"
    assert decide(seconds=3600).rule == "allowed"


def test_a_rise_of_any_height_breaks_nothing() -> None:
    exits_due(later(-1800), NOW)
    EquityMark.objects.update(pnl_usd=-50_000)
    assert decide().rule == "allowed"


def test_a_pair_that_moves_with_one_that_is_held_is_refused() -> None:
    history(SOL, lambda n: 2 * calm(n))
    cast.position(BTC, now=later(-7200))
    assert decide(ETH).rule == "allowed"
    refused = decide(SOL)
    assert (refused.rule, refused.inputs["rule"]["correlations_bp"][BTC]) == ("correlation", 10_000)


def test_where_nobody_knows_how_a_pair_moves_it_is_taken_to_move_along(govern: Govern) -> None:
    govern(institutional__reject_score=100)
    cast.bar(SOL, 100, NOW)
    cast.position(BTC, now=later(-7200))
    refused = decide(SOL)
    assert (refused.rule, refused.reason) == (
        "correlation",
        "How it moves with BTC-USD, which is held, is not known.",
    )


def test_a_second_position_of_a_pair_moves_with_the_first() -> None:
    cast.position(BTC, now=later(-7200))
    assert decide(BTC).rule == "correlation"


def test_the_score_weighs_five_risks(govern: Govern) -> None:
    history(SOL, lambda n: 0.1 * (n % 2))
    [score] = [check for check in decide(SOL, 0.99).checks if check["rule"] == "score"]
    # Confidence 1, size 100, volatility beyond all, concentration 100, drawdown 0; weights 25, 20, 25, 15, 15.
    assert score["inputs"]["score_times_100"] == 25 + 2000 + 2500 + 1500
    assert score["ok"]
    govern(institutional__reject_score=60)
    assert decide(SOL, 0.99, 1).rule == "cooldown"
    refused = decide(SOL, 0.99, 1800)
    assert refused.rule == "score"


def drawn_down(govern: Govern) -> Decision:
    cast.lost("15000", later(-7 * 86_400))
    return decide(ETH)


def broken(govern: Govern) -> Decision:
    exits_due(later(-1800), NOW)
    EquityMark.objects.update(pnl_usd=6000)
    return decide()


def worthless(govern: Govern) -> Decision:
    govern(fee_bp=20, require_positive_ev=False)
    return decide()


def concentrated(govern: Govern) -> Decision:
    govern(institutional__correlation_bp=10_000, institutional__reject_score=100)
    cast.position(BTC, 60, 100, now=later(-7200))
    return decide(BTC)


def alike(govern: Govern) -> Decision:
    history(SOL, lambda n: 2 * calm(n))
    cast.position(BTC, now=later(-7200))
    return decide(SOL)


def risky(govern: Govern) -> Decision:
    govern(institutional__reject_score=60)
    history(SOL, lambda n: 0.1 * (n % 2))
    return decide(SOL, 0.99)


REFUSED: dict[str, Callable[[Govern], Decision]] = {
    "drawdown": drawn_down,
    "breaker": broken,
    "kelly": worthless,
    "position_limit": concentrated,
    "correlation": alike,
    "score": risky,
}


def test_every_rule_of_the_profile_has_a_scene_that_it_refuses() -> None:
    assert set(REFUSED) == {rule.name for rule in rules.RULES if rule.limit is not None}


@pytest.mark.parametrize("name", REFUSED)
def test_the_scene_is_refused_by_that_rule(name: str, govern: Govern) -> None:
    assert REFUSED[name](govern).rule == name


@pytest.mark.parametrize("name", REFUSED)
def test_without_the_rule_only_a_size_of_nothing_is_still_refused(
    name: str, govern: Govern, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "RULES", tuple(rule for rule in rules.RULES if rule.name != name))
    # Where Kelly says not to enter, its size is nothing as well.
    assert REFUSED[name](govern).rule == ("min_trade" if name == "kelly" else "allowed")
