"""Risk's tests read parameters afresh."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.core import parameters
from tests.apps.trading.risk import cast


@pytest.fixture(autouse=True)
def fresh_parameters() -> Iterator[None]:
    parameters.forget_cached()
    yield
    parameters.forget_cached()


@pytest.fixture
def govern(db: None) -> Callable[..., None]:
    """Set `risk.` parameters by their names: institutional__max_open=3."""

    def change(**values: Any) -> None:
        for name, value in values.items():
            parameters.set_parameter("risk." + name.replace("__", "."), value, actor=None, reason="test", now=cast.NOW)
        parameters.forget_cached()

    return change
