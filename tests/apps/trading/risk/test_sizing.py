"""Sizes, break-even and Kelly are the published numbers."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from apps.trading.risk import sizing
from apps.trading.risk.limits import Limits
from apps.trading.risk.losses import as_few_bp
from tests.apps.trading.risk.cast import INSTITUTIONAL, PLAYBOOK

DOLLAR = Decimal(1)


def size(found: Limits, bp: int, capital: int, minimum: Decimal = DOLLAR) -> Decimal:
    return sizing.size(found, bp, Decimal(capital), Decimal(capital), 10, minimum).usd


@pytest.mark.parametrize(
    ("capital", "confidence_bp", "expected"),
    [
        (13, 5500, "1.02"),  # $0.26 by the formula
        (13, 9500, "1.02"),  # $0.78 by the formula: every band gives the smallest trade
        (100, 5500, "2.00"),
        (100, 6500, "3.00"),
        (100, 4000, "2.00"),  # nothing shrinks below the band
        (100, 9500, "5.00"),  # $6.00 by the formula
        (1, 6500, "1.02"),
    ],
)
def test_the_formula_is_clamped(capital: int, confidence_bp: int, expected: str) -> None:
    assert size(PLAYBOOK, confidence_bp, capital) == Decimal(expected)


def test_where_the_venue_has_no_minimum_the_smallest_trade_is_a_dollar() -> None:
    assert size(PLAYBOOK, 5500, 13, Decimal(0)) == DOLLAR


@pytest.mark.parametrize(("fee_bp", "percent"), [(0, "37.5"), (10, "62.5"), (15, "75"), (26, "102.5"), (120, "337.5")])
def test_break_even_of_half_a_percent_against_three_tenths(fee_bp: int, percent: str) -> None:
    assert sizing.break_even_bp(PLAYBOOK, fee_bp) == Fraction(percent) * 100


@given(fee_bp=st.integers(0, 200), confidence_bp=st.integers(0, 10_000))
def test_expected_value_is_nothing_exactly_at_break_even(fee_bp: int, confidence_bp: int) -> None:
    even = sizing.break_even_bp(PLAYBOOK, fee_bp)
    value = sizing.expected_value_bp(PLAYBOOK, confidence_bp, fee_bp)
    assert (value >= 0) == (confidence_bp >= even)


def test_kelly_at_the_weakest_signal_says_not_to_enter() -> None:
    assert sizing.kelly(PLAYBOOK, 5500, 10) == Fraction(-1, 5)
    assert sizing.kelly(PLAYBOOK, 9900, 26) < 0


def test_bands_have_the_playbooks_words() -> None:
    words = [sizing.band(bp) for bp in (5499, 5500, 6499, 6500, 7499, 7500, 8999, 9000)]
    assert words == ["weak", "marginal", "marginal", "moderate", "moderate", "strong", "strong", "very strong"]


@given(bp=st.integers(0, 10_000), cents=st.integers(0, 10**7), fee=st.integers(0, 200), minimum=st.integers(0, 2000))
def test_no_size_is_above_the_largest_and_one_below_the_smallest_never_passes(
    bp: int, cents: int, fee: int, minimum: int
) -> None:
    capital = Decimal(cents) / 100
    found = sizing.size(PLAYBOOK, bp, capital, capital, fee, Decimal(minimum) / 100)
    assert DOLLAR <= found.usd <= 5
    stopped = found.usd * Decimal("0.997") * Decimal("0.99") * (1 - Decimal(fee) / 10_000)
    assert stopped >= Decimal(minimum) / 100 or found.feasible_usd > 5


def test_a_quarter_of_kelly_is_never_raised_to_the_smallest_trade() -> None:
    # f = 0.7 - 0.3 / 0.6 = 0.2, a quarter of it 5%
    assert size(INSTITUTIONAL, 7000, 13) == Decimal("0.65")
    assert size(INSTITUTIONAL, 7000, 1000) == Decimal(50)
    assert size(INSTITUTIONAL, 9500, 1000) == Decimal(100)
    assert size(INSTITUTIONAL, 6000, 1000) == 0


@given(n=st.integers(1, 200), share=st.floats(0, 1), p_bp=st.integers(1, 9999))
def test_the_binomial_test_is_scipys(n: int, share: float, p_bp: int) -> None:
    right = round(share * n)
    assert as_few_bp(right, n, p_bp) == pytest.approx(binom.cdf(right, n, p_bp / 10_000) * 10_000, abs=1.000001)


def test_the_binomial_test_rounds_to_the_cautious_side() -> None:
    assert [as_few_bp(right, 20, 4500) for right in (4, 5, 8)] == [189, 554, 4144]
