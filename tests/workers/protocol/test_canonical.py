"""Canonical JSON: RFC 8785's vectors where they apply, and what is refused beyond them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocol import canonical
from workers.protocol.errors import NotCanonical

KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-canonical.LARGEST, canonical.LARGEST) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)


def backwards(value: Any) -> Any:
    """The same value with every object's members in the opposite order."""
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in reversed(value)}
    return [backwards(item) for item in value] if isinstance(value, list) else value


def test_the_string_of_rfc_8785_is_written_as_there() -> None:
    text = "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/"
    assert canonical.dumps(text).hex() == "22e282ac245c75303030665c6e4127425c225c5c5c5c5c222f22"


def test_the_literals_of_rfc_8785_are_written_as_there() -> None:
    assert canonical.dumps([None, True, False]) == b"[null,true,false]"


@pytest.mark.parametrize(
    ("char", "written"),
    [
        ("\b", rb"\b"),
        ("\t", rb"\t"),
        ("\n", rb"\n"),
        ("\f", rb"\f"),
        ("\r", rb"\r"),
        ('"', rb"\""),
        ("\\", rb"\\"),
        ("\x00", rb"\u0000"),
        ("\x1f", rb"\u001f"),
        ("\x7f", b"\x7f"),
        ("/", b"/"),
        ("<", b"<"),
        ("\u2028", "\u2028".encode()),
        ("\U0001f602", "\U0001f602".encode()),
    ],
)
def test_characters_are_escaped_as_ecmascript_does(char: str, written: bytes) -> None:
    assert canonical.dumps(char) == b'"' + written + b'"'


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, b"0"), (-1, b"-1"), (2**53 - 1, b"9007199254740991"), (-(2**53) + 1, b"-9007199254740991")],
)
def test_integers_are_written_in_full(number: int, written: bytes) -> None:
    assert canonical.dumps(number) == written
    assert canonical.loads(written) == number


def test_members_are_sorted_by_code_unit() -> None:
    assert canonical.dumps({"b": 1, "a": 2, "\r": 3, "1": 4, "B": 5, "": 6}) == (
        b'{"":6,"\\r":3,"1":4,"B":5,"a":2,"b":1}'
    )


@pytest.mark.parametrize(
    "value",
    [
        2**53,
        -(2**53),
        1.0,
        0.5,
        float("nan"),
        float("inf"),
        "\ud800",
        {"é": 1},
        {1: 2},
        {"a": {"b": [object()]}},
        b"bytes",
        {1, 2},
    ],
)
def test_what_has_no_canonical_form_is_not_written(value: Any) -> None:
    with pytest.raises(NotCanonical):
        canonical.dumps(value)


def test_nesting_has_a_limit() -> None:
    value: Any = 0
    for _ in range(canonical.DEEPEST):
        value = [value]
    assert canonical.loads(canonical.dumps(value)) == value
    with pytest.raises(NotCanonical):
        canonical.dumps([value])
    with pytest.raises(NotCanonical):
        canonical.loads(b"[" * 200_000 + b"]" * 200_000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b" 1",
        b"1 ",
        b"1.0",
        b"1e2",
        b"-0",
        b"01",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"9007199254740992",
        b"9" * 5000,
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"\xc3\xa9":1}',
        b'"\\u0041"',
        b'"\\/"',
        b'"\\u000F"',
        b'"\\ud800"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf1",
        b'"\x00"',
        "1".encode("utf-16"),
        b"1\n2",
    ],
)
def test_what_is_not_canonical_is_not_read(data: bytes) -> None:
    with pytest.raises(NotCanonical) as refusal:
        canonical.loads(data)
    assert refusal.value.code == "not_canonical"


@given(VALUES)
def test_what_is_written_is_read_again(value: Any) -> None:
    assert canonical.loads(canonical.dumps(value)) == value


@given(VALUES)
def test_the_form_does_not_depend_on_the_order_of_members(value: Any) -> None:
    assert canonical.dumps(backwards(value)) == canonical.dumps(value)


@given(st.binary(max_size=40))
def test_any_bytes_are_either_refused_or_the_one_form_of_their_value(data: bytes) -> None:
    try:
        value = canonical.loads(data)
    except NotCanonical:
        return
    assert canonical.dumps(value) == data
