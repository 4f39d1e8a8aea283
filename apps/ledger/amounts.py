"""Amounts as people read and write them. Everything else counts base units: 1 MESH = 10^8."""

import re

from apps.ledger.errors import AmountMalformed

MESH = 10**8
MAX_SUPPLY = 21_000_000 * MESH
_WRITTEN = re.compile(r"(\d{1,8})(?:\.(\d{1,8}))?", re.ASCII)


def show(units: int) -> str:
    """Base units as a decimal number of MESH without trailing zeros: 125000000 is "1.25"."""
    whole, rest = divmod(abs(units), MESH)
    decimals = f"{rest:08d}".rstrip("0")
    return f"{'-' if units < 0 else ''}{whole}{'.' + decimals if decimals else ''}"


def parse(text: str) -> int:
    """A number of MESH as base units; raises AmountMalformed for signs, exponents and a ninth decimal."""
    written = _WRITTEN.fullmatch(text.strip())
    if written is None:
        raise AmountMalformed
    return int(written[1]) * MESH + int((written[2] or "").ljust(8, "0"))
