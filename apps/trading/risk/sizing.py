"""How much to trade, and whether it can pay: pure arithmetic on decimals and basis points."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction

from apps.trading.risk.limits import BP, CENT, Limits, current

ONE = 10_000
BANDS = (("marginal", 5_500), ("moderate", 6_500), ("strong", 7_500), ("very strong", 9_000))


@dataclass(frozen=True)
class Size:
    """What an entry would be in USD, and how it came to be."""

    usd: Decimal
    formula_usd: Decimal
    feasible_usd: Decimal


def exit_prices(entry_price: Decimal, limits: Limits | None = None) -> tuple[Decimal, Decimal]:
    """Take-profit and stop-loss of a position that was entered at this price."""
    found = limits or current()
    return entry_price * (1 + found.take_profit_bp * BP), entry_price * (1 - found.stop_loss_bp * BP)


def band(confidence_bp: int) -> str:
    """The playbook's word for a confidence."""
    words = [word for word, begins in BANDS if confidence_bp >= begins]
    return words[-1] if words else "weak"


def break_even_bp(limits: Limits, fee_bp: int) -> Fraction:
    """The share of wins, in basis points, at which fees, stops and profits cancel out; above 10,000 nobody can win."""
    return Fraction(ONE * (limits.stop_loss_bp + 2 * fee_bp), limits.take_profit_bp + limits.stop_loss_bp)


def expected_value_bp(limits: Limits, confidence_bp: int, fee_bp: int) -> Fraction:
    """Expected gain of an entry after both sides' fees, in basis points of its size; `confidence_bp` as probability."""
    win = confidence_bp * limits.take_profit_bp
    lose = (ONE - confidence_bp) * limits.stop_loss_bp
    return Fraction(win - lose, ONE) - 2 * fee_bp


def kelly(limits: Limits, confidence_bp: int, fee_bp: int) -> Fraction:
    """The full Kelly fraction after fees, where what can be lost is the stop and the fees; negative: do not enter."""
    gain, loss = limits.take_profit_bp - 2 * fee_bp, limits.stop_loss_bp + 2 * fee_bp
    if gain <= 0:
        return Fraction(-1)
    ratio, p = Fraction(gain, loss), Fraction(confidence_bp, ONE)
    return p - (1 - p) / ratio


def least_feasible(limits: Limits, fee_bp: int, venue_minimum: Decimal) -> Decimal:
    """The smallest entry whose stop-out exit the venue still accepts."""
    left = (1 - limits.stop_loss_bp * BP) * (1 - limits.exit_margin_bp * BP) * (1 - fee_bp * BP)
    return venue_minimum / left


def feasible_floor(limits: Limits, fee_bp: int, venue_minimum: Decimal) -> Decimal:
    """The same rounded up to cents: entries are sized by it, with room for rounding down to the venue's lots."""
    return least_feasible(limits, fee_bp, venue_minimum).quantize(CENT, ROUND_CEILING)


def formula(limits: Limits, confidence_bp: int, capital: Decimal, equity: Decimal, fee_bp: int) -> Decimal:
    """The profile's own size before any clamp, USD, rounded down to cents; zero where it says not to enter."""
    if limits.kelly_bp is not None:
        share = max(kelly(limits, confidence_bp, fee_bp), Fraction(0)) * limits.kelly_bp / ONE
        wanted = max(equity, Decimal(0)) * share.numerator / share.denominator
        return wanted.quantize(CENT, ROUND_FLOOR)
    assert limits.size_bp is not None  # noqa: S101  one of both belongs to every profile
    assert limits.size_slope_milli is not None  # noqa: S101  as above
    assert limits.size_from_bp is not None  # noqa: S101  as above
    growth = 1 + Decimal(limits.size_slope_milli) / 1000 * max(0, confidence_bp - limits.size_from_bp) * BP
    return (max(capital, Decimal(0)) * limits.size_bp * BP * growth).quantize(CENT, ROUND_FLOOR)


def size(
    limits: Limits, confidence_bp: int, capital: Decimal, equity: Decimal, fee_bp: int, venue_minimum: Decimal
) -> Size:
    """The size of an entry in USD.

    The playbook's formula is clamped to its smallest and largest trade, and raised within them where the venue would
    not accept the exit of a stopped-out smaller one. A Kelly fraction is never raised: below the smallest trade it is
    the rules that refuse it.
    """
    wanted = formula(limits, confidence_bp, capital, equity, fee_bp)
    floor = feasible_floor(limits, fee_bp, venue_minimum)
    largest = limits.max_trade(equity).quantize(CENT, ROUND_FLOOR)
    if limits.kelly_bp is None:
        clamped = min(max(wanted, limits.min_trade_cents * CENT, floor), largest)
    else:
        clamped = min(wanted, largest)
    return Size(usd=clamped, formula_usd=wanted, feasible_usd=floor)
