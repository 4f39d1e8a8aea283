"""Signed envelopes: what opens, and every refusal by its code."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.protocol.cast import ALICE, BOB, MALLORY, NET, NOW, PLATFORM, dsse, resigned, resolve
from workers.protocol import canonical
from workers.protocol.clock import unix_ms
from workers.protocol.envelope import (
    Envelope,
    MemoryReplayGuard,
    check_signature,
    open_document,
    open_envelope,
    pae,
    sign_document,
    sign_envelope,
    unverified_payload,
)
from workers.protocol.errors import ProtocolError
from workers.protocol.keys import SigningKey, b64, unb64, verify

KIND = "task.started"
BODY = {"task": "tsk_1", "attempt": 1}


def message(
    body: Mapping[str, Any] = BODY, *, key: SigningKey = ALICE, now: datetime = NOW, **other: Any
) -> dict[str, Any]:
    """Alice tells the platform that her task runs."""
    return sign_envelope(
        KIND, body, **{"key": key, "net": NET, "sender": "node_alice", "to": "platform", "now": now, **other}
    )


def opened(raw: Any, *, now: datetime = NOW, **other: Any) -> Envelope:
    """As the platform opens it."""
    return open_envelope(
        raw, **{"net": NET, "to": "platform", "kinds": {KIND}, "resolve": resolve, "now": now, "replay": None, **other}
    )


def refusal(raw: Any, **other: Any) -> str:
    """The code with which the platform refuses it."""
    with pytest.raises(ProtocolError) as caught:
        opened(raw, **other)
    return caught.value.code


def payload(**changes: Any) -> dict[str, Any]:
    """A whole payload, with changes."""
    return {**unverified_payload(message()), **changes}


def without(field: str) -> dict[str, Any]:
    whole = payload()
    del whole[field]
    return whole


def test_an_envelope_opens_to_what_was_signed() -> None:
    raw = message()
    got = opened(raw)
    assert (got.kind, got.sender, got.to, got.kid, got.body) == (KIND, "node_alice", "platform", ALICE.kid, BODY)
    assert (got.issued_at, got.expires_at) == (unix_ms(NOW), unix_ms(NOW) + 300_000)
    assert got.raw == raw
    assert len(bytes.fromhex(got.id)) == 16


def test_it_is_a_dsse_envelope() -> None:
    raw = message()
    data = unb64(raw["payload"])
    assert raw["payloadType"] == "application/vnd.meshwork.task.started+json"
    assert raw["signatures"] == [{"keyid": ALICE.kid, "sig": raw["signatures"][0]["sig"]}]
    signed = b"DSSEv1 42 application/vnd.meshwork.task.started+json %d %b" % (len(data), data)
    assert pae(raw["payloadType"], data) == signed
    assert verify(ALICE.public, unb64(raw["signatures"][0]["sig"]), signed)
    assert set(json.loads(data)) == {"v", "net", "kid", "kind", "id", "from", "to", "issued_at", "expires_at", "body"}


def test_the_pre_authentication_encoding_is_that_of_the_dsse_specification() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_it_opens_from_bytes_in_any_layout() -> None:
    raw = message()
    for data in (json.dumps(raw).encode(), json.dumps(raw, indent=2).encode(), canonical.dumps(raw)):
        assert opened(data).body == BODY


@given(st.dictionaries(st.text(st.characters(max_codepoint=127)), st.text() | st.integers(-5, 5) | st.none()))
def test_any_body_comes_through(body: dict[str, Any]) -> None:
    assert opened(message(body)).body == body


REFUSALS: dict[str, tuple[str, Callable[[], Any]]] = {
    "too large as bytes": ("envelope_too_large", lambda: b" " * (32 * 2**20 + 1)),
    "too large as an object": ("envelope_too_large", lambda: {**message(), "payload": "A" * (32 * 2**20 + 4)}),
    "a long type": ("envelope_too_large", lambda: {**message(), "payloadType": "a" * 1000}),
    "not json": ("envelope_malformed", lambda: b"{"),
    "not utf-8": ("envelope_malformed", lambda: json.dumps(message()).encode("utf-16")),
    "deep": ("envelope_malformed", lambda: b"[" * 100_000),
    "a list": ("envelope_malformed", lambda: b"[]"),
    "nothing": ("envelope_malformed", lambda: None),
    "a key twice": ("envelope_malformed", lambda: b'{"payload":"",' + canonical.dumps(message())[1:]),
    "one field more": ("envelope_malformed", lambda: {**message(), "more": 1}),
    "one field less": ("envelope_malformed", lambda: {"payload": "", "signatures": []}),
    "payload no text": ("envelope_malformed", lambda: {**message(), "payload": 5}),
    "payload no base64": ("envelope_malformed", lambda: {**message(), "payload": "*"}),
    "type no text": ("envelope_malformed", lambda: {**message(), "payloadType": None}),
    "no signature": ("envelope_malformed", lambda: {**message(), "signatures": []}),
    "signatures no list": ("envelope_malformed", lambda: {**message(), "signatures": {"0": {}}}),
    "two signatures": ("envelope_malformed", lambda: {**message(), "signatures": message()["signatures"] * 2}),
    "signature no object": ("envelope_malformed", lambda: {**message(), "signatures": ["x"]}),
    "signature with more": ("envelope_malformed", lambda: with_signature(more="x")),
    "signature no text": ("envelope_malformed", lambda: with_signature(sig=None)),
    "signature without base64": ("envelope_malformed", lambda: with_signature(sig="*")),
    "long signature": ("envelope_malformed", lambda: with_signature(sig="A" * 1000)),
    "unknown key": ("unknown_key", lambda: message(key=MALLORY)),
    "another known key named": ("bad_signature", lambda: with_signature(keyid=BOB.kid)),
    "short signature": ("bad_signature", lambda: with_signature(sig="AAAA")),
    "empty signature": ("bad_signature", lambda: with_signature(sig="")),
    "another payload": ("bad_signature", lambda: {**message(), "payload": message()["payload"]}),
    "another type": (
        "bad_signature",
        lambda: {**message(), "payloadType": "application/vnd.meshwork.task.result+json"},
    ),
    "signature over the bare payload": (
        "bad_signature",
        lambda: with_signature(sig=b64(ALICE.sign(canonical.dumps(BODY)))),
    ),
    "payload not canonical": ("not_canonical", lambda: dsse(json.dumps(payload()).encode(), ALICE, KIND)),
    "payload no json": ("not_canonical", lambda: dsse(b"{", ALICE, KIND)),
    "payload no object": ("envelope_malformed", lambda: dsse(b"[]", ALICE, KIND)),
    "version 2": ("unsupported_version", lambda: resigned(payload(v=2), ALICE)),
    "version as text": ("unsupported_version", lambda: resigned(payload(v="1"), ALICE)),
    "version true": ("envelope_malformed", lambda: resigned(payload(v=True), ALICE)),
    "payload names another key": ("unknown_key", lambda: resigned(payload(kid=BOB.kid), ALICE)),
    "payload names another kind": (
        "wrong_kind",
        lambda: dsse(canonical.dumps(payload(kind="task.result")), ALICE, KIND),
    ),
    "unwanted kind": ("wrong_kind", lambda: resigned(payload(kind="task.result"), ALICE)),
    "unknown field": ("unknown_field", lambda: resigned(payload(more=1), ALICE)),
    "without an id": ("unknown_field", lambda: resigned(without("id"), ALICE)),
    "a document": ("unknown_field", lambda: sign_document(KIND, BODY, key=ALICE, net=NET, now=NOW)),
    "body no object": ("envelope_malformed", lambda: resigned(payload(body=[]), ALICE)),
    "time as text": ("envelope_malformed", lambda: resigned(payload(issued_at="0"), ALICE)),
    "time true": ("envelope_malformed", lambda: resigned(payload(expires_at=True), ALICE)),
    "id no text": ("envelope_malformed", lambda: resigned(payload(id=5), ALICE)),
    "short id": ("envelope_malformed", lambda: resigned(payload(id="abcd"), ALICE)),
    "long id": ("envelope_malformed", lambda: resigned(payload(id="0" * 33), ALICE)),
    "id in capitals": ("envelope_malformed", lambda: resigned(payload(id="A" * 32), ALICE)),
    "foreign network": ("wrong_network", lambda: message(net="meshwork")),
    "another sender": ("wrong_sender", lambda: message(key=BOB)),
    "the platform as sender": ("wrong_sender", lambda: message(sender="platform")),
    "another recipient": ("wrong_recipient", lambda: message(to="node_bob")),
    "expired": ("expired", lambda: message(now=NOW - timedelta(seconds=331))),
    "expires before it was issued": ("expired", lambda: message(ttl_s=-1)),
    "from the future": ("not_yet_valid", lambda: message(now=NOW + timedelta(seconds=31))),
    "lives too long": ("not_yet_valid", lambda: message(ttl_s=601)),
    "before 1970": ("expired", lambda: resigned(payload(issued_at=-5, expires_at=-1), ALICE)),
}


def with_signature(**changes: Any) -> dict[str, Any]:
    raw = message()
    return {**raw, "signatures": [{**raw["signatures"][0], **changes}]}


@pytest.mark.parametrize("case", REFUSALS)
def test_it_is_refused_with_its_code(case: str) -> None:
    code, make = REFUSALS[case]
    assert refusal(make()) == code


@pytest.mark.parametrize(
    ("now", "ttl_s"),
    [(NOW, 0), (NOW, 600), (NOW - timedelta(seconds=330), 300), (NOW + timedelta(seconds=30), 300)],
)
def test_clocks_may_differ_by_thirty_seconds_and_a_life_may_last_ten_minutes(now: datetime, ttl_s: int) -> None:
    assert opened(message(now=now, ttl_s=ttl_s)).body == BODY


def test_the_limit_of_size_is_the_receivers() -> None:
    assert refusal(json.dumps(message()).encode(), max_bytes=100) == "envelope_too_large"
    assert refusal(message(), max_bytes=100) == "envelope_too_large"


def test_the_signature_is_checked_before_anything_is_parsed() -> None:
    raw = dsse(b"{not json", ALICE, KIND)
    raw["signatures"][0]["sig"] = b64(bytes(64))
    assert refusal(raw) == "bad_signature"


def test_what_is_refused_leaves_no_trace_in_the_replay_guard() -> None:
    guard = MemoryReplayGuard()
    raw = message()
    for other in ({"net": "x"}, {"to": "x"}, {"kinds": {"x"}}, {"now": NOW + timedelta(hours=1)}):
        with pytest.raises(ProtocolError):
            opened(raw, replay=guard, **other)
    assert opened(raw, replay=guard).body == BODY
    assert refusal(raw, replay=guard) == "replayed"


@pytest.mark.parametrize("bit", range(8))
def test_every_flipped_bit_of_an_envelope_is_refused(bit: int) -> None:
    whole = canonical.dumps(message())
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 1 << bit
        assert refusal(bytes(altered)) in {"envelope_malformed", "unknown_key", "bad_signature"}


@given(st.data())
def test_any_other_bytes_in_the_payload_are_refused(data: st.DataObject) -> None:
    raw = message()
    whole = unb64(raw["payload"])
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    altered = whole[:start] + data.draw(st.binary(max_size=20)) + whole[end:]
    if altered != whole:
        assert refusal({**raw, "payload": b64(altered)}) == "bad_signature"


@given(st.permutations(sorted(payload())))
def test_members_in_another_order_are_refused_whoever_signs(order: list[str]) -> None:
    whole = payload()
    data = json.dumps({name: whole[name] for name in order}, separators=(",", ":")).encode()
    if data != canonical.dumps(whole):
        assert refusal({**message(), "payload": b64(data)}) == "bad_signature"
        assert refusal(dsse(data, ALICE, KIND)) == "not_canonical"


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_anything_at_all_is_refused_and_nothing_else_is_raised(raw: Any) -> None:
    assert refusal(raw) == "envelope_malformed"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=5,
)


@given(st.sampled_from(sorted(payload())), JSON)
def test_a_known_signer_with_odd_fields_is_refused_or_opened_and_nothing_else_is_raised(field: str, value: Any) -> None:
    raw = resigned(payload(**{field: value}), ALICE)
    with suppress(ProtocolError):
        assert opened(raw).body == (value if field == "body" else BODY)


def test_a_document_has_no_recipient_and_no_expiry() -> None:
    raw = sign_document("receipt.job", {"job": "job_1"}, key=PLATFORM, net=NET, now=NOW)
    got = open_document(raw, kind="receipt.job", resolve=resolve, net=NET)
    assert (got.sender, got.body, got.issued_at) == ("platform", {"job": "job_1"}, unix_ms(NOW))


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("wrong_kind", {"kind": "ledger.block"}),
        ("wrong_network", {"net": "other"}),
        ("unknown_key", {"resolve": lambda _: None}),
    ],
)
def test_a_document_is_refused_with_its_code(code: str, changes: dict[str, Any]) -> None:
    raw = sign_document("receipt.job", {}, key=PLATFORM, net=NET, now=NOW)
    with pytest.raises(ProtocolError) as caught:
        open_document(raw, **{"kind": "receipt.job", "resolve": resolve, "net": NET, **changes})
    assert caught.value.code == code


def test_a_message_is_no_document() -> None:
    with pytest.raises(ProtocolError) as caught:
        open_document(message(), kind=KIND, resolve=resolve)
    assert caught.value.code == "unknown_field"


def test_an_old_messages_signature_can_still_be_checked() -> None:
    old = message(now=NOW - timedelta(days=900))
    check_signature(old, resolve)
    old["payload"] = message()["payload"]
    with pytest.raises(ProtocolError) as caught:
        check_signature(old, resolve)
    assert caught.value.code == "bad_signature"


def test_floats_are_not_signed() -> None:
    with pytest.raises(ProtocolError) as caught:
        message({"load": 0.5})
    assert caught.value.code == "not_canonical"
