"""RFC 8785 canonical JSON, narrowed to ASCII keys, integers below 2^53 and no floats: what is hashed or signed."""

import json
from typing import Any

from workers.protocol.errors import NotCanonical

LARGEST = 2**53 - 1
DEEPEST = 32


_ENCODE = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode


def check(value: Any, depth: int = 0) -> None:
    """Raise NotCanonical unless the value can be written canonically."""
    if depth > DEEPEST:
        raise NotCanonical("Nested too deeply.")
    if isinstance(value, dict):
        for key, item in value.items():
            if not (isinstance(key, str) and key.isascii()):
                raise NotCanonical("Keys must be ASCII text.")
            # Most values are plain texts, and a ledger has millions of them.
            if not (type(item) is str and item.isascii()):
                check(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            check(item, depth + 1)
    else:
        _check_scalar(value)


def _check_scalar(value: Any) -> None:
    """Text, integers within range, yes, no and nothing."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise NotCanonical("Text must be valid Unicode.") from error
    elif isinstance(value, int):
        if abs(value) > LARGEST:
            raise NotCanonical("An integer beyond 2^53 must be a decimal string.")
    elif value is not None:
        raise NotCanonical(f"A {type(value).__name__} cannot be signed; use integers or decimal strings.")


def dumps(value: Any) -> bytes:
    """The one byte form of a value, as UTF-8."""
    check(value)
    return _ENCODE(value).encode()


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotCanonical("A key stands twice.")
    return found


def parse(data: bytes) -> Any:
    """JSON in UTF-8 in which no key stands twice, in whatever form; raises NotCanonical."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"Not JSON: {error}") from error


def loads(data: bytes) -> Any:
    """Parse, and refuse whatever is not the canonical form of what it says."""
    value = parse(data)
    if dumps(value) != data:
        raise NotCanonical
    return value
