"""Governed parameters keep their type, bounds and history."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest
from django.db import connections

from apps.core import parameters
from apps.core.errors import ParameterChanged, ParameterRefused, UnknownParameter
from apps.core.models import Event, Parameter, ParameterChange, User

NOW = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh() -> None:
    parameters.forget_cached()


def change(name: str, value: object, **more: object) -> ParameterChange:
    result = parameters.set_parameter(name, value, actor=None, reason="a test", now=NOW, **more)
    parameters.forget_cached()
    return result


def test_a_parameter_has_its_default_until_it_is_changed() -> None:
    assert parameters.get("pool.max_attempts") == 3
    change("pool.max_attempts", 5)
    assert parameters.get("pool.max_attempts") == 5


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(UnknownParameter):
        parameters.get("pool.nothing")
    with pytest.raises(UnknownParameter):
        change("pool.nothing", 1)


@pytest.mark.parametrize("value", [0, 11, "3", 3.0, True, None])
def test_a_value_outside_type_or_bounds_changes_nothing(value: object) -> None:
    with pytest.raises(ParameterRefused):
        change("pool.max_attempts", value)
    assert parameters.get("pool.max_attempts") == 3
    assert not ParameterChange.objects.exists()


def test_a_change_is_kept_with_its_old_value_actor_and_reason() -> None:
    admin = User.objects.create_user("admin@example.org")
    parameters.set_parameter("pool.max_attempts", 4, actor=admin, reason="slow hosts", now=NOW)
    kept = ParameterChange.objects.get()
    assert (kept.old, kept.new, kept.actor, kept.reason) == (3, 4, admin, "slow hosts")
    assert Event.objects.get().kind == "parameter.changed"


def test_a_change_that_expected_another_value_is_refused() -> None:
    with pytest.raises(ParameterChanged):
        change("pool.max_attempts", 5, expected=4)
    change("pool.max_attempts", 5, expected=3)


def test_every_default_lies_within_its_own_bounds() -> None:
    for name, spec in parameters.PARAMETERS.items():
        spec.check(name, spec.default)


def test_shares_of_a_fee_make_a_whole() -> None:
    shares = [parameters.get(f"fees.{part}_percent") for part in ("provider", "burn", "treasury")]
    assert sum(shares) == 100


def test_every_default_is_in_its_order() -> None:
    for names in parameters.ASCENDING:
        values = [parameters.PARAMETERS[name].default for name in names]
        assert values == sorted(values), names


@pytest.mark.parametrize(
    ("name", "value", "next_step"),
    [
        ("fees.use_busy_from", 96, "Change fees.use_full_from first"),
        ("fees.use_busy_from", 49, "Change fees.use_normal_from first"),
        ("fees.size_small", 3, "Change fees.size_medium first"),
        ("fees.size_large_to", 12, "Change fees.size_medium_to first"),
        ("fees.floor", 6 * parameters.MESH, "Change fees.ceiling first"),
    ],
)
def test_values_that_belong_together_stay_in_their_order(name: str, value: int, next_step: str) -> None:
    with pytest.raises(ParameterRefused, match=next_step):
        change(name, value)
    assert not ParameterChange.objects.exists()


def test_a_step_moves_past_another_one_after_the_other() -> None:
    change("fees.use_full_from", 99)
    change("fees.use_busy_from", 97)
    assert parameters.get("fees.use_busy_from") == 97


@pytest.mark.django_db(transaction=True)
def test_two_changes_at_once_cannot_pass_each_other() -> None:
    start = Barrier(2)

    def move(name: str, value: int) -> str:
        start.wait()
        try:
            parameters.set_parameter(name, value, actor=None, reason="a test", now=NOW)
        except ParameterRefused as error:
            return error.code
        finally:
            connections.close_all()
        return "done"

    for _ in range(10):
        with ThreadPoolExecutor(2) as pool:
            moves = [("fees.use_normal_from", 75), ("fees.use_busy_from", 60)]
            outcomes = sorted(pool.map(lambda change_: move(*change_), moves))
        assert outcomes == ["done", "parameter_refused"]
        Parameter.objects.all().delete()
