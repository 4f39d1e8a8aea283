"""The machine's own view: /health says what is wrong and what to do, /metrics is what Prometheus reads."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection
from typing import Any

import pytest

from workers.node.config import NodeConfig
from workers.node.errors import ListenRefused
from workers.node.health import Snapshot, health, metrics
from workers.node.limits import Hold
from workers.node.local_http import LocalHttp, address_of, as_json

WELL = Snapshot(
    node="node_1", name='at"tic', network="test", version="0.1.0", now=1000.0, started_at=100.0,
    last_heartbeat_at=990.0, heartbeat_s=30.0, connected=True,
    clock_offset_ms=12, lanes={"inference.cpu": 2}, lanes_down=[], running=1,
    results_waiting=0, draining=False, holds=[], memory_bytes=123_456_789, power_w=None, restarts=0,
    tasks={"completed": 7, "held": 1},
)  # fmt: skip
# A line of the text format: a comment, or a name with labels and a number.
LINE = re.compile(r"# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z]+=\"([^\"\\\n]|\\.)*\",?)+\})? -?[0-9.]+(e[+-]?\d+)?")


def told(at: Snapshot) -> tuple[int, dict[str, Any]]:
    answer = health(at)
    return answer.status, json.loads(answer.body)


def test_a_node_that_works_is_ok() -> None:
    status, body = told(WELL)
    assert (status, body["status"], body["reasons"]) == (200, "ok", [])
    assert (body["running"], body["up_s"]) == (1, 900)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"last_heartbeat_at": 900.0}, "heartbeat_unanswered"),
        ({"last_heartbeat_at": 0.0}, "heartbeat_unanswered"),
        ({"connected": False}, "gateway_closed"),
        ({"lanes_down": ["inference.cpu"]}, "lane_down"),
        ({"clock_offset_ms": -31_000}, "clock_off"),
        ({"banned": "It forged results."}, "node_banned"),
    ],
)
def test_what_keeps_it_from_working_is_unwell_with_a_next_step(change: dict[str, Any], code: str) -> None:
    status, body = told(replace(WELL, **change))
    assert (status, body["status"]) == (503, "unwell")
    assert [reason["code"] for reason in body["reasons"]] == [code]
    assert all(reason["detail"] and reason["next_step"] for reason in body["reasons"])


def test_a_node_that_has_just_started_is_not_unwell() -> None:
    assert told(replace(WELL, started_at=995.0, last_heartbeat_at=0.0, connected=False))[0] == 200


def test_what_its_owner_wants_is_no_fault() -> None:
    status, body = told(replace(WELL, holds=[Hold("quiet_hours", "It keeps its quiet hours.")], draining=True))
    assert (status, body["status"]) == (200, "held")
    assert [reason["code"] for reason in body["reasons"]] == ["quiet_hours", "draining"]


def test_metrics_are_in_the_text_format_and_true() -> None:
    text = metrics(replace(WELL, holds=[Hold("paused", "It is paused.")], power_w=250.5)).body.decode()
    assert [line for line in text.splitlines() if not LINE.fullmatch(line)] == []
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert values["mesh_node_taking_work"] == "0"
    assert values["mesh_node_healthy"] == "1"
    assert values['mesh_node_held{reason="paused"}'] == "1"
    assert values['mesh_node_tasks_total{outcome="completed"}'] == "7"
    assert values["mesh_node_memory_bytes"] == "123456789"
    assert values["mesh_node_last_heartbeat_timestamp_seconds"] == "990.000"
    assert values["mesh_node_power_watts"] == "250.5"
    assert 'name="at\\"tic"' in text
    assert "power" not in metrics(WELL).body.decode()


@pytest.fixture
def local() -> Iterator[LocalHttp]:
    server = LocalHttp("127.0.0.1:0", {"/health": lambda: as_json({"status": "ok"})})
    yield server
    server.stop()


def asked(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_it_answers_its_routes_and_nothing_else(local: LocalHttp) -> None:
    assert json.loads(asked(local.port, "/health?x=1")[1]) == {"status": "ok"}
    assert asked(local.port, "/health", "HEAD") == (200, b"")
    assert asked(local.port, "/../keys/signing.key")[0] == 404
    assert asked(local.port, "/health", "POST")[0] == 501


def test_an_address_that_is_taken_is_refused_with_its_reason(local: LocalHttp) -> None:
    with pytest.raises(ListenRefused, match="cannot be listened on"):
        LocalHttp(f"127.0.0.1:{local.port}", {})


@pytest.mark.parametrize(
    ("text", "address"),
    [("3000", ("127.0.0.1", 3000)), ("0.0.0.0:3000", ("0.0.0.0", 3000)), ("[::1]:80", ("::1", 80))],  # noqa: S104
)
def test_a_port_alone_is_one_of_the_loopback(text: str, address: tuple[str, int]) -> None:
    assert address_of(text) == address
    assert NodeConfig().health == ""


@pytest.mark.parametrize("text", ["", "localhost", ":3000", "1.2.3.4:70000", "a:b"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        address_of(text)
