"""Amounts as documents write them: decimal numbers of MESH, of which each has one spelling."""

import re

MESH = 10**8
MAX_SUPPLY = 21_000_000 * MESH
_WRITTEN = re.compile(r"(0|[1-9]\d{0,7})(?:\.(\d{1,8}))?", re.ASCII)
_TYPED = re.compile(r"0*(\d+)(?:\.(\d+))?", re.ASCII)
_UNITS = re.compile(r"[1-9]\d{0,15}", re.ASCII)


def spelled(written: str) -> str:
    """An amount that somebody typed, as documents write it: " 05.50" is "5.5". What is no number stays as it is."""
    typed = _TYPED.fullmatch(written.strip())
    if typed is None:
        return written
    decimals = (typed[2] or "").rstrip("0")
    return typed[1] + ("." + decimals if decimals else "")


def units_of(mesh: object) -> int:
    """Base units of a decimal number of MESH, up to eight decimals; raises ValueError."""
    written = _WRITTEN.fullmatch(mesh) if isinstance(mesh, str) else None
    if written is None:
        raise ValueError(f"{mesh!r} is not an amount of MESH")
    return int(written[1]) * MESH + int((written[2] or "").ljust(8, "0"))


def base_units(text: object) -> int:
    """A positive number of base units, written out; raises ValueError."""
    if not isinstance(text, str) or not _UNITS.fullmatch(text):
        raise ValueError(f"{text!r} is not a number of base units")
    return int(text)
