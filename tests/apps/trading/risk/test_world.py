"""No sequence of signals, fills, prices and jumps of time exceeds a limit, and exits are always possible."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from apps.trading.risk import rules, states
from tests.apps.trading.risk.cast import BTC, ETH
from tests.apps.trading.risk.world import World

pytestmark = pytest.mark.django_db(transaction=True)


class Watched(World):
    """The world, looked at after each step."""

    @invariant()
    def a_day_loses_no_more_than_its_limit_while_prices_do_not_jump(self) -> None:
        _, today, unrealised = self.results()
        assert self.gaps_today or -(today + min(unrealised, Decimal(0))) <= 2


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Watched,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_sequence_exceeds_a_limit() -> None:
    run(12, 25)


@pytest.mark.long
def test_no_long_sequence_exceeds_a_limit() -> None:
    run(150, 60)


def seek(*steps: tuple[str, tuple[object, ...]], capital: int = 300, lost: str = "0") -> Callable[[], None]:
    """A walk through the world."""

    def walk() -> None:
        world = World()
        try:
            world.begin(capital, lost)
            for name, arguments in steps:
                getattr(world, name)(*arguments)
        finally:
            world.teardown()

    return walk


BUY = ("trade", (BTC, 0.8, "1"))
HALF = ("trade", (BTC, 0.8, "0.5"))
WEAKNESSES = {
    "stale": seek(("signal", (BTC, 0.8, 1800))),
    "signal_confidence": seek(
        ("govern", (("execute", 0),)), ("govern", (("positive", False),)), ("signal", (BTC, 0.5, 0))
    ),
    "execute_confidence": seek(("govern", (("positive", False),)), ("signal", (BTC, 0.6, 0))),
    "pair": seek(("list_another", ()), ("signal", ("DOGE-USD", 0.8, 0))),
    "no_signal": seek(("order_of_nobody", (0,))),
    "closing": seek(HALF, ("leave_all", ()), ("order", (0, "0.5", 10))),
    "market_data": seek(("silence", ()), ("signal", (BTC, 0.8, 0))),
    "daily_loss": seek(BUY, ("trade", (ETH, 0.8, "1")), ("crash", (BTC, 5000)), lost="1.80"),
    "accuracy": seek(("judge", (0, 25)), BUY),
    "state": seek(("meddle", (states.pause,)), BUY),
    "no_short": seek(("govern", (("hold", 0),)), ("short", (BTC,))),
    "min_hold": seek(BUY, ("short", (BTC,))),
    "open_positions": seek(("govern", (("max_open", 2),)), ("trade_everything", (3,))),
    "cooldown": seek(BUY, BUY),
    "expected_value": seek(("govern", (("fee", 16),)), ("signal", (BTC, 0.7, 0))),
    "min_trade": seek(("govern", (("min_trade", 600),)), BUY),
    "max_trade": seek(
        ("signal", (BTC, 0.8, 0)), ("certify", (0,)), ("govern", (("max_trade", 200),)), ("order", (0, "1", 10))
    ),
    "approved_size": seek(("signal", (BTC, 0.65, 0)), ("certify", (0,)), ("order", (0, "1.5", 10)), capital=100),
    "leverage": seek(("trade_everything", (2,)), capital=2),
    "loss_budget": seek(BUY, lost="1.95"),
    "exit_feasible": seek(("govern", (("minimum", 300),)), ("govern", (("max_trade", 200),)), BUY),
    "venue_minimum": seek(HALF, ("order", (0, "0.1", 10))),
}


def test_every_rule_of_the_playbook_has_a_walk_that_finds_it_missing() -> None:
    assert set(WEAKNESSES) == {rule.name for rule in rules.RULES if rule.limit is None}


@pytest.mark.parametrize("name", WEAKNESSES)
def test_a_table_without_any_one_of_its_rules_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    WEAKNESSES[name]()
    monkeypatch.setattr(rules, "RULES", tuple(rule for rule in rules.RULES if rule.name != name))
    with pytest.raises(AssertionError):
        WEAKNESSES[name]()
