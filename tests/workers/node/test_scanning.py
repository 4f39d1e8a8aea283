"""Scans without a network of their own: what is asked, masked, refused and printed."""

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.node.errors import ScanFailed
from workers.node.scanning import Hop, mask, run_scan, traceroute
from workers.node.scanning_sockets import Prober, Sent
from workers.protocol.canonical import dumps

HERE = "127.0.0.1"


def hop(place: int, address: str | None, rtt_ms: float | None = 1.0) -> Hop:
    return {"hop": place, "ip": address, "rtt_ms": rtt_ms if address else None, "masked": False}


def hops(*addresses: str | None) -> list[Hop]:
    return [hop(place, address) for place, address in enumerate(addresses, 1)]


def is_public(address: str) -> bool:
    return ip_address(address).is_global


def mesh(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "workers.client.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_this_host_is_one_hop_away() -> None:
    result = traceroute(HERE)
    assert [each["ip"] for each in result.hops] == [HERE]
    assert result.reached
    assert 0 < result.total_rtt_ms < 500


def test_the_newer_protocol_works_as_well() -> None:
    try:
        result = traceroute("::1")
    except ScanFailed as error:
        pytest.skip(f"this host has no IPv6: {error}")
    assert [each["ip"] for each in result.hops] == ["::1"]


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("", "host_invalid"),
        ("a b", "host_invalid"),
        ("-f", "host_invalid"),
        ("a" * 254, "host_invalid"),
        ("a\n", "host_invalid"),
        ("http://example.org/", "host_invalid"),
        ("nowhere.invalid", "host_unknown"),
    ],
)
def test_what_is_no_host_is_said_to_be_none(host: str, code: str) -> None:
    with pytest.raises(ScanFailed) as failed:
        traceroute(host)
    assert failed.value.code == code


def test_a_method_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ScanFailed) as failed:
        traceroute(HERE, method="tcp")
    assert failed.value.code == "method_unknown"


def test_the_first_three_places_are_hidden_and_their_times_stay() -> None:
    shown = mask(hops("192.168.1.1", "8.8.1.1", None, "8.8.2.1", "8.8.3.1"))
    assert [each["ip"] for each in shown] == [None, None, None, "8.8.2.1", "8.8.3.1"]
    assert [each["masked"] for each in shown] == [True, True, False, False, False]
    assert [each["rtt_ms"] for each in shown] == [1.0, 1.0, None, 1.0, 1.0]


def test_private_hops_at_the_start_are_hidden_however_many_and_later_ones_are_not() -> None:
    near = ["10.0.0.1", "192.168.7.1", "172.16.0.1", "100.64.0.9", None, "10.9.9.9"]
    shown = mask(hops(*near, "8.8.2.1", "10.1.1.1"))
    assert [each["ip"] for each in shown] == [*[None] * 6, "8.8.2.1", "10.1.1.1"]


def test_the_host_itself_is_no_secret() -> None:
    assert mask(hops("8.8.1.1", "8.8.8.8"), keep="8.8.8.8")[1]["ip"] == "8.8.8.8"


@given(st.lists(st.one_of(st.none(), st.ip_addresses(v=4).map(str)), max_size=20))
def test_masking_never_shows_a_private_hop_before_the_first_public_one(addresses: list[str | None]) -> None:
    before = hops(*addresses)
    shown = mask(before)
    assert [each["hop"] for each in shown] == [each["hop"] for each in before]
    assert all(each["ip"] is None for each in shown[:3])
    assert all(
        each["masked"] == (old["ip"] is not None and each["ip"] is None)
        for each, old in zip(shown, before, strict=True)
    )
    public = next((i for i, each in enumerate(before) if i >= 3 and each["ip"] and is_public(each["ip"])), len(before))
    assert all(each["ip"] is None for each in shown[:public])
    assert shown[max(public, 3) :] == before[max(public, 3) :]


def test_a_scan_is_answered_with_a_body_that_can_be_signed() -> None:
    body = run_scan({"scan": "scn1", "host": HERE, "method": "udp", "max_hops": 5}, private=True)
    dumps(body)
    assert {key: body[key] for key in ("scan", "host", "method", "address", "error")} == {
        "scan": "scn1", "host": HERE, "method": "udp", "address": HERE, "error": None,
    }  # fmt: skip
    assert abs(body["measured_at"] - time.time() * 1000) < 60_000
    assert body["total_rtt_ms"] == body["hops"][0]["rtt_ms"]
    assert body["hops"][0]["rtt_ms"].count(".") == 1


@pytest.mark.parametrize(
    "host",
    [
        HERE,
        "192.168.1.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "::1",
        "::ffff:10.0.0.1",
        "localhost",
    ],
)
def test_nobody_explores_the_operators_network_through_the_node(host: str) -> None:
    body = run_scan({"scan": "scn1", "host": host, "method": "udp", "max_hops": 5})
    assert (body["error"]["code"], body["hops"]) == ("target_private", [])
    dumps(body)


def test_a_scan_that_fails_says_why() -> None:
    body = run_scan({"scan": "scn1", "host": "nowhere.invalid"})
    assert body["error"]["code"] == "host_unknown"
    assert body["total_rtt_ms"] is None


@pytest.mark.parametrize(
    "body", [{}, {"scan": "s"}, {"scan": 1, "host": "a"}, {"scan": "s", "host": "a", "max_hops": "x"}, {"host": "a"}]
)
def test_an_order_that_is_none_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ScanFailed) as failed:
        run_scan(body)
    assert failed.value.code == "order_invalid"


def test_what_a_stranger_sends_is_no_answer() -> None:
    with Prober("8.8.8.8", "udp") as prober, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        prober.sent[1] = Sent(0, 0)
        for data in (b"", b"x" * 60):
            stranger.sendto(data, (HERE, prober.socket.getsockname()[1]))
        assert prober.receive(0.5) == []
    with Prober(HERE, "udp") as prober, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        prober.sent[1] = Sent(0, 0)
        stranger.sendto(b"x", (HERE, prober.socket.getsockname()[1]))
        assert prober.receive(0.5) == []


def test_two_scans_of_one_host_at_a_time_do_not_meet() -> None:
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: traceroute(HERE), range(12)))
    assert all(result.reached for result in results)


def test_the_command_prints_the_path() -> None:
    printed = mesh("scan", HERE)
    assert printed.returncode == 0
    assert HERE in printed.stdout
    assert "answered (udp)" in printed.stderr


def test_the_command_prints_json() -> None:
    printed = json.loads(mesh("scan", HERE, "--json", "--max-hops", "3").stdout)
    assert printed["reached"] is True
    assert printed["hops"][0]["ip"] == HERE


def test_the_command_says_what_is_wrong_and_exits_with_its_code() -> None:
    printed = mesh("scan", "a b")
    assert printed.returncode == 2
    assert "[host_invalid]" in printed.stderr
