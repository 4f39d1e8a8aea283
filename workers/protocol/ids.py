"""Ids, made in one place: a prefix and a time-ordered UUIDv7 (RFC 9562) in Crockford's base32."""

import os
import re
from datetime import datetime
from uuid import UUID

from workers.protocol.clock import unix_ms

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 26
SHAPE = re.compile(rf"[a-z]{{2,8}}_[{ALPHABET}]{{{LENGTH}}}")


def uuid7(now: datetime) -> UUID:
    """48 bits of milliseconds, then 74 random bits."""
    value = (unix_ms(now) & (2**48 - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def encode(number: int) -> str:
    """128 bits as 26 letters."""
    return "".join(ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def decode(text: str) -> int:
    """The number behind 26 letters; raises ValueError."""
    number = 0
    for letter in text:
        number = number << 5 | ALPHABET.index(letter)
    if len(text) != LENGTH or number >= 2**128:
        raise ValueError(f"{text!r} is not an id")
    return number


def new_id(prefix: str, now: datetime) -> str:
    """A new id such as `job_01k…`; ids of one prefix sort by time."""
    return f"{prefix}_{encode(uuid7(now).int)}"


def is_id(prefix: str, text: str) -> bool:
    """Whether the text has the shape of an id of that prefix."""
    return text.startswith(f"{prefix}_") and SHAPE.fullmatch(text) is not None


def show_uuid(prefix: str, value: UUID) -> str:
    """A UUID in the same form."""
    return f"{prefix}_{encode(value.int)}"


def parse_uuid(prefix: str, text: str) -> UUID:
    """The UUID behind `show_uuid`; raises ValueError."""
    if not text.startswith(f"{prefix}_"):
        raise ValueError(f"{text!r} does not begin with {prefix}_")
    return UUID(int=decode(text[len(prefix) + 1 :]))


def message_id() -> str:
    """128 random bits as 32 hex digits."""
    return os.urandom(16).hex()
