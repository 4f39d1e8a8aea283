"""Bodies of messages: each kind's fields, no others, within limits."""

from typing import Any, get_type_hints

import msgspec
import pytest

from workers.protocol.errors import ProtocolError
from workers.protocol.messages import KINDS, TaskResult, decode_body

HASH = "ab" * 32
LIMITS = {
    "paused": True,
    "paused_until": 0,
    "quiet_hours": ["22:00-07:00"],
    "time_zone": "Europe/Berlin",
    "memory_cap_mb": 0,
    "power_cap_w": 0,
    "at": 1,
}
BAN = {"ban": "ban_1", "reason": "It forged results.", "ends_at": 5}
BODIES: dict[str, dict[str, Any]] = {
    "node.register": {
        "token": "mwt_1",
        "name": "attic",
        "sign_public": "AA==",
        "seal_public": "AA==",
        "probe": {"cores": 2},
        "challenge": "c",
        "nonce": "1",
    },
    "node.hello": {"challenge": "c", "version": 1, "models": ["m"], "lanes": {"inference.cpu": 1}, "running": []},
    "node.heartbeat": {
        "load": 20,
        "slots": {"inference.cpu": 1},
        "memory_free_mb": 900,
        "running": ["tsk_1"],
        "sent_at": 1,
        "draining": False,
        "models": [],
        "held": ["quiet_hours"],
        "held_until": 3,
        "limits": {**LIMITS, "memory_cap_mb": 4000},
        "transport": "celery",
    },
    "node.rotate": {"sign_public": "AA==", "seal_public": "AA==", "proof": "AA=="},
    "task.claim": {"lane": "inference.cpu", "max": 4},
    "task.run": {
        "job": "job_1",
        "task": "tsk_1",
        "attempt": 1,
        "kind": "embed",
        "lane": "inference.cpu",
        "model": "m",
        "version": "v",
        "files": [{"name": "f", "sha256": HASH, "size": 3, "url": "http://x/f"}],
        "params": {},
        "payload_sha256": HASH,
        "sealed": "AA==",
        "lease_expires_at": 1,
        "deadline": 2,
    },
    "task.started": {"task": "tsk_1", "attempt": 1},
    "task.handback": {"task": "tsk_1", "attempt": 1, "reason": "draining"},
    "task.result": {
        "job": "job_1",
        "task": "tsk_1",
        "attempt": 1,
        "ok": True,
        "error": None,
        "result_sha256": HASH,
        "sealed_sha256": HASH,
        "usage": {"items": 1, "tokens_in": 2, "tokens_out": 3},
        "duration_ms": 5,
    },
    "control.cancel": {"tasks": ["tsk_1"]},
    "control.drain": {},
    "control.resume": {},
    "control.revoked": {"reason": "by its operator"},
    "control.work": {"lane": "inference.cpu"},
    "control.limits": {"limits": LIMITS},
    "control.banned": BAN,
    "control.unbanned": {},
    "control.parameters": {"parameters": {"pool.heartbeat_s": 30}},
    "platform.heartbeat": {
        "time": 1,
        "pending": 0,
        "cancel": [],
        "drain": False,
        "key_list_version": 1,
        "heartbeat_s": 30,
        "limits": LIMITS,
        "banned": BAN,
    },
    "consensus.start": {
        "round": "rnd_1",
        "subject": {"symbol": "BTC-USD"},
        "observe": {},
        "members": [],
        "weights_sha256": HASH,
        "block": {"height": 1, "hash": HASH},
        "deadline_at": 1,
    },
    "consensus.messages": {"round": "rnd_1", "messages": [], "certificate": {}, "missed": False},
    "consensus.prediction": {
        "round": "rnd_1",
        "symbol": "BTC-USD",
        "action": "HOLD",
        "confidence_bp": 5000,
        "price": "100",
        "target_price": "101",
        "stop_loss": "99",
        "horizon_s": 900,
        "features_sha256": HASH,
        "model": "direction",
        "version": "mdv_1",
        "market_at": 1,
        "reasoning": "baseline",
    },
    "scan.run": {"scan": "scn_1", "host": "example.org", "method": "udp", "max_hops": 20},
    "scan.result": {
        "scan": "scn_1",
        "host": "example.org",
        "method": "udp",
        "address": "192.0.2.1",
        "measured_at": 1,
        "hops": [],
        "total_rtt_ms": "12.5",
        "error": None,
    },
}
FIELDS = [(kind, field) for kind, body in BODIES.items() for field in body]
OPTIONAL = {
    ("node.heartbeat", "draining"),
    ("node.heartbeat", "models"),
    ("node.heartbeat", "held"),
    ("node.heartbeat", "held_until"),
    ("node.heartbeat", "limits"),
    ("node.heartbeat", "transport"),
    ("platform.heartbeat", "limits"),
    ("platform.heartbeat", "banned"),
    ("consensus.messages", "certificate"),
    ("consensus.messages", "missed"),
    ("scan.run", "method"),
    ("scan.run", "max_hops"),
}


def refusal(kind: str, body: dict[str, Any]) -> str:
    with pytest.raises(ProtocolError) as caught:
        decode_body(kind, body)
    return caught.value.code


def test_every_kind_has_an_example_here() -> None:
    assert set(BODIES) == set(KINDS)
    for kind, body in BODIES.items():
        assert set(body) == set(get_type_hints(KINDS[kind]))


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_is_read_and_written_again(kind: str) -> None:
    read = decode_body(kind, BODIES[kind])
    assert type(read) is KINDS[kind]
    assert msgspec.to_builtins(read) == BODIES[kind]


@pytest.mark.parametrize("kind", BODIES)
def test_a_field_too_many_is_refused(kind: str) -> None:
    assert refusal(kind, {**BODIES[kind], "more": 1}) == "unknown_field"


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_field_too_few_is_refused(kind: str, field: str) -> None:
    body = {name: value for name, value in BODIES[kind].items() if name != field}
    if (kind, field) in OPTIONAL:
        assert decode_body(kind, body)
    else:
        assert refusal(kind, body) == "unknown_field"


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_field_of_another_type_is_refused(kind: str, field: str) -> None:
    good = BODIES[kind][field]
    for bad in (5, "5", True, [5], {"5": object()}):
        if type(bad) is not type(good) or isinstance(bad, list):
            assert refusal(kind, {**BODIES[kind], field: bad}) == "unknown_field", bad


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_what_is_too_long_or_negative_is_refused(kind: str, field: str) -> None:
    bad = {int: -1, str: "a" * 3000, list: ["a"] * 10_001}.get(type(BODIES[kind][field]))
    if bad is not None and (kind, field) != ("task.run", "sealed"):
        assert refusal(kind, {**BODIES[kind], field: bad}) == "unknown_field"


@pytest.mark.parametrize(
    ("kind", "field", "bad"),
    [
        ("task.result", "usage", {"items": -1, "tokens_in": 0, "tokens_out": 0}),
        ("task.result", "usage", {"items": 1, "tokens_in": 0, "tokens_out": 0, "more": 0}),
        ("task.result", "result_sha256", HASH.upper()),
        ("task.result", "result_sha256", HASH + "\n"),
        ("task.result", "result_sha256", HASH[1:]),
        ("task.run", "files", [{"name": "f", "sha256": HASH, "size": 3}]),
        ("node.hello", "lanes", {"inference.cpu": -1}),
        ("node.hello", "lanes", {f"lane {n}": 1 for n in range(101)}),
    ],
)
def test_what_lies_deeper_is_checked_too(kind: str, field: str, bad: Any) -> None:
    assert refusal(kind, {**BODIES[kind], field: bad}) == "unknown_field"


@pytest.mark.parametrize(
    ("kind", "field", "last"),
    [
        ("node.heartbeat", "held_until", 4_102_444_800_000),
        ("consensus.prediction", "market_at", 4_102_444_800_000),
        ("task.result", "duration_ms", 2**31 - 1),
    ],
)
def test_a_time_beyond_what_can_be_a_date_is_refused(kind: str, field: str, last: int) -> None:
    assert decode_body(kind, {**BODIES[kind], field: last})
    for beyond in (last + 1, 2**53 - 1):
        assert refusal(kind, {**BODIES[kind], field: beyond}) == "unknown_field"


def test_a_pause_ends_at_what_can_be_a_date() -> None:
    for kind in ("node.heartbeat", "control.limits", "platform.heartbeat"):
        assert decode_body(kind, {**BODIES[kind], "limits": {**LIMITS, "paused_until": 4_102_444_800_000}})
        assert refusal(kind, {**BODIES[kind], "limits": {**LIMITS, "paused_until": 2**53 - 1}}) == "unknown_field"


@pytest.mark.parametrize("name", ["items", "tokens_in", "tokens_out"])
def test_usage_fits_where_it_is_kept(name: str) -> None:
    body = BODIES["task.result"]
    assert decode_body("task.result", {**body, "usage": {**body["usage"], name: 2**31 - 1}})
    assert refusal("task.result", {**body, "usage": {**body["usage"], name: 2**31}}) == "unknown_field"


def test_a_failed_result_says_why() -> None:
    body = {**BODIES["task.result"], "ok": False, "error": {"code": "out_of_memory", "detail": "It was 3 MiB short."}}
    read = decode_body("task.result", body)
    assert isinstance(read, TaskResult)
    assert read.error is not None
    assert read.error.code == "out_of_memory"


def test_a_kind_that_nobody_speaks_is_refused() -> None:
    assert refusal("task.steal", {}) == "wrong_kind"
