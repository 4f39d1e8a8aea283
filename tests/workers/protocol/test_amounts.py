"""An amount as somebody types it, and the one spelling that documents have for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocol.amounts import MAX_SUPPLY, MESH, spelled, units_of


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("1.25", "1.25"),
        (" 5 ", "5"),
        ("05", "5"),
        ("000", "0"),
        ("00.00000001", "0.00000001"),
        ("5.50", "5.5"),
        ("5.0", "5"),
        ("0.000000001", "0.000000001"),
        ("-1", "-1"),
        ("1e3", "1e3"),
        (" x", " x"),
        ("", ""),
    ],
)
def test_what_is_a_number_is_spelled_and_the_rest_is_left_for_its_refusal(typed: str, written: str) -> None:
    assert spelled(typed) == written


@given(st.integers(0, MAX_SUPPLY), st.sampled_from(["", "0", "00"]), st.sampled_from(["", " "]))
def test_every_amount_is_read_as_it_was_typed(units: int, zeros: str, space: str) -> None:
    whole, rest = divmod(units, MESH)
    assert units_of(spelled(f"{space}{zeros}{whole}.{rest:08d}{zeros}{space}")) == units
