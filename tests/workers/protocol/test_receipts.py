"""Receipts: one holds as issued, and not after any change, not even one that the platform itself signs anew."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.protocol.cast import ALICE, BOB, MALLORY, NET, NOW, PLATFORM, ROOT, key_list, listed
from tests.workers.protocol.receipt import (
    FIRST,
    KIND,
    SECOND,
    block,
    chunk,
    copied,
    issued,
    leaf,
    proven,
    result,
    whole,
)
from workers.protocol import canonical
from workers.protocol.clock import utcnow
from workers.protocol.envelope import sign_document
from workers.protocol.keylist import fingerprint, make_key_list
from workers.protocol.keys import b64
from workers.protocol.receipts import Verdict, units, verify_receipt

PIN = fingerprint(ROOT.public)
WHOLE = whole()
RECEIPT = canonical.dumps(issued(WHOLE))
Path = tuple[str | int, ...]

# What the platform alone states: there is nobody else's word to hold it against.
STATED = {("kind",), ("model",), ("version",), ("artifacts",), ("status",), ("requester",)}
STATED_OF_CHUNKS = {"index", "validation"}


def verdict(body: Any) -> Verdict:
    """On a body that the platform signs."""
    return verify_receipt(issued(body), PIN)


def failed(found: Verdict) -> set[str]:
    return {name for name, ok, _ in found.checks if not ok}


def test_a_whole_receipt_holds_against_the_root_that_is_trusted() -> None:
    found = verify_receipt(json.loads(RECEIPT), PIN)
    assert found.ok, found.checks
    names = [name for name, _, _ in found.checks]
    assert names == ["key list", "platform", "chunks", "results", "block 5", "block 9", "transfers", "fees"]


def test_without_a_root_it_says_that_the_receipt_names_it_itself() -> None:
    found = verify_receipt(json.loads(RECEIPT))
    assert found.ok
    assert "named by the receipt itself" in found.checks[0][2]


@pytest.mark.parametrize("root", [fingerprint(MALLORY.public), "0" * 64, PIN[:16]])
def test_it_does_not_hold_against_another_root(root: str) -> None:
    assert not verify_receipt(json.loads(RECEIPT), root).ok


@given(st.integers(0, len(RECEIPT) - 1), st.integers(0, 7))
@settings(max_examples=300)
def test_no_flipped_bit_of_a_receipt_goes_unnoticed(place: int, bit: int) -> None:
    altered = bytearray(RECEIPT)
    altered[place] ^= 1 << bit
    try:
        receipt = json.loads(altered.decode())
    except ValueError:
        return
    assert not verify_receipt(receipt, PIN).ok
    assert not verify_receipt(receipt).ok


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a document, from the whole down."""
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(item, (*path, key))


PLACES = [path for path in paths(WHOLE) if path]


def at(document: Any, path: Path) -> Any:
    for step in path:
        document = document[step]
    return document


def changes(value: Any) -> Iterator[Any]:
    """Values near to one and far from it."""
    if isinstance(value, str):
        yield from (value + "0", value[:-1], "x" + value[1:], "", None, 5)
    elif isinstance(value, bool):
        yield from (not value, int(value), None)
    elif isinstance(value, int):
        yield from (value + 1, value - 1, -value - 1, str(value), None)
    elif isinstance(value, list):
        yield from (value[:-1], value[1:], value + value[:1], [*value, None], {}, None)
    elif isinstance(value, dict):
        yield from ({**value, "more": 1}, {}, [], None)


def altered(path: Path) -> Iterator[dict[str, Any]]:
    """The body with one place changed, in every way, or removed."""
    *above, last = path
    for value in changes(at(WHOLE, path)):
        if value == at(WHOLE, path) and type(value) is type(at(WHOLE, path)):
            continue
        body = copied(WHOLE)
        at(body, tuple(above))[last] = value
        yield body
    body = copied(WHOLE)
    del at(body, tuple(above))[last]
    yield body


def is_stated(path: Path) -> bool:
    return path[:1] in STATED or (path[0] == "chunks" and len(path) == 3 and path[2] in STATED_OF_CHUNKS)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_no_change_of_any_place_holds_even_when_the_platform_signs_it(path: Path) -> None:
    for body in altered(path):
        found = verdict(body)
        if is_stated(path):
            assert found.checks
        elif path == ("price",) and found.ok:
            assert units(body["price"]) >= 3000
        else:
            assert not found.ok, body


@pytest.mark.parametrize("field", sorted(WHOLE))
def test_every_field_must_be_there(field: str) -> None:
    body = copied(WHOLE)
    del body[field]
    assert "shape" in failed(verdict(body))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**53 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=5,
)


@given(st.sampled_from(PLACES), JSON)
@settings(max_examples=300)
def test_odd_values_anywhere_are_judged_and_never_raise(path: Path, value: Any) -> None:
    body = copied(WHOLE)
    at(body, path[:-1])[path[-1]] = value
    assert is_stated(path) or body == WHOLE or path == ("price",) or not verdict(body).ok


@given(JSON)
def test_anything_else_is_no_receipt_and_never_raises(value: Any) -> None:
    assert not verify_receipt(value, PIN).ok
    assert not verify_receipt(value).ok
    assert not verify_receipt(sign_document(KIND, {"key_list": value}, key=PLATFORM, net=NET, now=NOW), PIN).ok


def with_chunk(index: int = 0, **fields: Any) -> dict[str, Any]:
    body = copied(WHOLE)
    body["chunks"][index].update(fields)
    return body


def with_result(said: dict[str, Any] | None = None, key: Any = ALICE, **to: str) -> dict[str, Any]:
    """Alice's first chunk with another signed result."""
    return with_chunk(envelope=result("tsk_0", to.pop("node", "node_alice"), key, said, **to))


def with_blocks(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {**copied(WHOLE), "blocks": list(blocks)}


def with_first(leaves: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Another first block, correctly sealed, and its transfers for the two chunks correctly proven."""
    body = with_blocks(block(5, leaves, NOW, **changes), WHOLE["blocks"][1])
    body["transfers"] = proven(leaves, 5, {"tsk_0", "tsk_1"}) + proven(SECOND, 9, {"tsk_2"})
    return body


def with_leaf(number: int, **fields: Any) -> dict[str, Any]:
    return with_first([{**one, **fields} if place == number else one for place, one in enumerate(FIRST)])


LIES: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "a result signed by another node": ("results", lambda: with_result(key=BOB)),
    "a result from another node": ("results", lambda: with_result(node="node_bob")),
    "a result of another network": ("results", lambda: with_result(net="other")),
    "a result to somebody else": ("results", lambda: with_result(to="node_bob")),
    "a result of another job": ("results", lambda: with_result({"job": "job_2"})),
    "a result of another task": ("results", lambda: with_result({"task": "tsk_1"})),
    "a result of another attempt": ("results", lambda: with_result({"attempt": 2})),
    "a result that failed": ("results", lambda: with_result({"ok": False})),
    "another result": ("results", lambda: with_result({"result_sha256": "00" * 32})),
    "more work than was done": ("results", lambda: with_result({"usage": {"items": 31}})),
    "the key of another node": ("results", lambda: with_chunk(node_public=b64(BOB.public))),
    "the key of nobody": ("results", lambda: with_chunk(node_public=b64(b"\x01" + bytes(31)))),
    "the result of another chunk": ("results", lambda: with_chunk(envelope=WHOLE["chunks"][2]["envelope"])),
    "a task twice": ("chunks", lambda: one_chunk_more(2, index=3)),
    "a place twice": ("chunks", lambda: one_chunk_more(3, index=2)),
    "a fee too high": ("fees", lambda: with_chunk(fee="1001")),
    "a fee too low": ("fees", lambda: with_chunk(fee="999")),
    "fees exchanged": ("fees", lambda: fees("999", "1001")),
    "a fee below nothing": ("shape", lambda: with_chunk(fee="-1000")),
    "a fee in another spelling": ("shape", lambda: with_chunk(fee="01000")),
    "a fee in other digits": ("shape", lambda: with_chunk(fee="\u0661\u0660\u0660\u0660")),
    "a fee as a number": ("shape", lambda: with_chunk(fee=1000)),
    "a price below the fees": ("fees", lambda: {**WHOLE, "price": "2999"}),
    "less paid": ("fees", lambda: with_leaf(1, amount="899")),
    "paid below nothing": ("shape", lambda: with_leaf(1, amount="-900")),
    "paid for another chunk": ("fees", lambda: with_leaf(1, memo="tsk_1")),
    "paid as something else": ("fees", lambda: with_leaf(1, txType="faucet")),
    "another's payment counted": ("fees", lambda: one_payment_more()),
    "a transfer left out": ("fees", lambda: {**WHOLE, "transfers": WHOLE["transfers"][1:]}),
    "a transfer twice": ("transfers", lambda: {**WHOLE, "transfers": [*WHOLE["transfers"], WHOLE["transfers"][0]]}),
    "one transfer sealed twice": ("transfers", lambda: with_first([*FIRST, FIRST[1]])),
    "a transfer that is in no block": ("transfers", lambda: unsealed()),
    "a proof in capitals": ("transfers", lambda: capitals()),
    "a transfer of another block": ("transfers", lambda: moved()),
    "a block twice": ("block 5", lambda: with_blocks(WHOLE["blocks"][0], *WHOLE["blocks"])),
    "a block of another network": ("block 5", lambda: with_first(FIRST, net="other")),
    "a block with another's signature": ("block 5", lambda: cross_signed()),
    "a block that holds nothing of it": ("blocks", lambda: with_blocks(*WHOLE["blocks"], block(12, FIRST, NOW))),
    "a block of before the key's time": ("shape", lambda: with_first(FIRST, sealed_at=1)),
    "a header with more": ("shape", lambda: header_with_more()),
}  # fmt: skip


def one_chunk_more(number: int, index: int) -> dict[str, Any]:
    more = {**chunk(number, "node_bob", BOB), "index": index, "fee": "0"}
    return {**WHOLE, "chunks": [*WHOLE["chunks"], more]}


def one_payment_more() -> dict[str, Any]:
    return {**WHOLE, "transfers": [*WHOLE["transfers"], *proven(FIRST, 5, {"tsk_other_0"})]}


def fees(*amounts: str) -> dict[str, Any]:
    body = copied(WHOLE)
    for one, amount in zip(body["chunks"], amounts, strict=False):
        one["fee"] = amount
    return body


def unsealed() -> dict[str, Any]:
    body = copied(WHOLE)
    body["transfers"][0]["leaf"] = leaf(777, "fee.provider", 900, "tsk_0")
    return body


def capitals() -> dict[str, Any]:
    body = copied(WHOLE)
    body["transfers"][0]["proof"] = [step.upper() for step in body["transfers"][0]["proof"]]
    return body


def moved() -> dict[str, Any]:
    body = copied(WHOLE)
    body["transfers"][0]["block"] = 9
    return body


def cross_signed() -> dict[str, Any]:
    body = copied(WHOLE)
    body["blocks"][0]["signature"] = body["blocks"][1]["signature"]
    return body


def header_with_more() -> dict[str, Any]:
    body = copied(WHOLE)
    body["blocks"][0]["header"]["more"] = 1
    return body


@pytest.mark.parametrize("case", LIES)
def test_a_lying_platform_is_found_out(case: str) -> None:
    check, make = LIES[case]
    found = verdict(make())
    assert not found.ok
    assert check in failed(found), found.checks


def test_a_receipt_of_anybody_else_does_not_hold() -> None:
    for key in (MALLORY, ALICE, ROOT):
        assert not verify_receipt(issued(WHOLE, key), PIN).ok


def test_a_stranger_with_a_key_list_of_their_own_does_not_hold_against_the_root() -> None:
    keys = make_key_list(MALLORY, NET, 1, [listed(MALLORY, "platform"), listed(PLATFORM, "platform")], NOW)
    forged = issued({**WHOLE, "key_list": keys}, MALLORY)
    assert not verify_receipt(forged, PIN).ok


def test_a_key_list_of_another_network_does_not_fit() -> None:
    assert not verdict({**WHOLE, "key_list": key_list(net="other")}).ok


def test_a_receipt_issued_outside_its_keys_time_does_not_hold() -> None:
    assert not verify_receipt(issued(WHOLE, now=NOW - timedelta(days=1)), PIN).ok
    assert not verify_receipt(issued(WHOLE, now=NOW + timedelta(days=400)), PIN).ok


def test_a_receipt_from_the_future_does_not_hold() -> None:
    now = utcnow()
    body = {**WHOLE, "key_list": make_key_list(ROOT, NET, 1, [listed(PLATFORM, "platform", NOW, 5000)], NOW)}
    assert verify_receipt(issued(body, now=now - timedelta(minutes=5)), PIN).ok
    assert failed(verify_receipt(issued(body, now=now + timedelta(hours=1)), PIN)) == {"platform"}


def test_a_free_job_needs_no_transfers_and_no_block() -> None:
    chunks = [chunk(0, "node_alice", ALICE, fee="0")]
    assert verdict({**WHOLE, "price": "0", "chunks": chunks, "transfers": [], "blocks": []}).ok
