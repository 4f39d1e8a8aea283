"""Amounts as people read and write them. Everything else counts base units: 1 MESH = 10^8."""

import re

from apps.ledger.errors import AmountMalformed, AmountNotPositive, AmountTooLarge, AmountTooPrecise
from workers.protocol.amounts import units_of

MESH = 10**8
MAX_SUPPLY = 21_000_000 * MESH
_WRITTEN = re.compile(r"(-?)(\d{1,40})(?:\.(\d{1,40}))?", re.ASCII)
_DECIMALS = 8
_WHOLE_DIGITS = 8


def show(units: int) -> str:
    """Base units as a decimal number of MESH without trailing zeros: 125000000 is "1.25"."""
    whole, rest = divmod(abs(units), MESH)
    decimals = f"{rest:08d}".rstrip("0")
    return f"{'-' if units < 0 else ''}{whole}{'.' + decimals if decimals else ''}"


def parse(text: str) -> int:
    """A number of MESH as base units.

    Raises AmountMalformed: AmountNotPositive for a minus, AmountTooPrecise for a ninth decimal, AmountTooLarge for a
    ninth digit before the point, itself for whatever is no decimal number.
    """
    written = _WRITTEN.fullmatch(text.strip())
    if written is None:
        raise AmountMalformed
    sign, whole, decimals = written[1], written[2], written[3] or ""
    if sign:
        raise AmountNotPositive
    if len(decimals) > _DECIMALS:
        raise AmountTooPrecise
    if len(whole) > _WHOLE_DIGITS:
        raise AmountTooLarge
    return int(whole) * MESH + int(decimals.ljust(_DECIMALS, "0"))


def parse_payment(text: str) -> int:
    """The same for an amount that is to move: more than nothing, and no more than can ever exist."""
    units = parse(text)
    if units == 0:
        raise AmountNotPositive
    if units > MAX_SUPPLY:
        raise AmountTooLarge
    return units


def parse_signed(text: str) -> int:
    """The same for the amount in a signed order: raises AmountMalformed for what `parse_payment` would read kindly.

    The order is kept as it was signed, and whoever audits the ledger reads one spelling of an amount.
    """
    units = parse_payment(text)
    try:
        units_of(text)
    except ValueError:
        raise AmountMalformed(f"A signed order writes that amount as {show(units)}. Sign it again so.") from None
    return units
