"""No sequence of signals, fills, prices and jumps of time exceeds a limit, and exits are always possible."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from apps.trading.risk import rules
from tests.apps.trading.risk.world import World

pytestmark = pytest.mark.django_db(transaction=True)


class Watched(World):
    """The world, looked at after each step."""

    @invariant()
    def a_day_loses_no_more_than_its_limit_while_prices_do_not_jump(self) -> None:
        _, today, unrealised = self.results()
        assert self.gaps_today or -(today + min(unrealised, Decimal(0))) <= 2


def run(examples: int, steps: int, *, phases: tuple[Phase, ...] = tuple(Phase)) -> None:
    run_state_machine_as_test(
        Watched,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_sequence_exceeds_a_limit() -> None:
    run(12, 25)


@pytest.mark.long
def test_no_long_sequence_exceeds_a_limit() -> None:
    run(400, 60)


@pytest.mark.long
@pytest.mark.parametrize("name", [rule.name for rule in rules.RULES if rule.limit is None])
def test_a_table_without_any_one_of_its_rules_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "RULES", tuple(rule for rule in rules.RULES if rule.name != name))
    with pytest.raises(AssertionError):
        run(300, 40, phases=(Phase.generate,))
