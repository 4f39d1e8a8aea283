"""Scans and detectors on real multi-hop paths whose delay and route are changed live."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.workers.node import namespaces
from tests.workers.node.namespaces import HOST, Network
from workers.kernels import detectors
from workers.node.errors import ScanFailed
from workers.node.scanning import Hop, TraceResult, run_scan, traceroute

SHORT_WAY = ["44.0.1.2", "44.0.2.2", "44.0.3.2", "44.0.4.2", HOST]
LONG_WAY = ["44.0.1.2", "44.0.2.2", "44.0.6.2", "44.0.7.2", "44.0.8.2", HOST]


@pytest.fixture(scope="module")
def made() -> Iterator[Network]:
    reason = namespaces.why_not()
    if reason:
        pytest.skip(f"network namespaces are not to be had here: {reason}")
    with ExitStack() as stack:
        yield Network(stack)


@pytest.fixture
def network(made: Network) -> Network:
    made.short()
    made.delay(0)
    return made


def scan(network: Network, **options: object) -> TraceResult:
    return network.inside("home", lambda: traceroute(HOST, **{"timeout_s": 1.0, **options}))


def ways(result: TraceResult) -> list[str | None]:
    return [hop["ip"] for hop in result.hops]


def series(network: Network, delays: list[float]) -> tuple[list[float], list[list[Hop]]]:
    """The total times of real scans, one at each delay, and their hops."""
    times, hops = [], []
    for delay in delays:
        network.delay(delay)
        result = scan(network)
        assert result.total_rtt_ms is not None
        times.append(result.total_rtt_ms)
        hops.append(result.hops)
    return times, hops


def test_a_path_is_measured_hop_by_hop_without_privileges(network: Network) -> None:
    network.delay(10)

    def measured() -> TraceResult:
        with pytest.raises(PermissionError):
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        return traceroute(HOST)

    result = network.inside("home", measured)
    times = [hop["rtt_ms"] for hop in result.hops]
    assert (ways(result), result.reached) == (SHORT_WAY, True)
    assert times[0] < 10
    assert all(20 <= time < 40 for time in times[1:])
    assert result.total_rtt_ms == times[-1]


def test_a_silent_router_stays_silent_and_the_path_goes_on(network: Network) -> None:
    quiet = ("-n", network.name("r3"), "rule")
    namespaces.ip(*quiet, "add", "iif", "lo", "prio", "10", "blackhole")
    try:
        result = scan(network, timeout_s=0.3)
    finally:
        namespaces.ip(*quiet, "del", "prio", "10")
    assert ways(result) == [*SHORT_WAY[:2], None, *SHORT_WAY[3:]]
    assert result.hops[2] == {"hop": 3, "ip": None, "rtt_ms": None, "masked": False}


def test_a_host_that_never_answers_costs_no_more_than_the_wait(network: Network) -> None:
    quiet = ("-n", network.name("host"), "rule")
    namespaces.ip(*quiet, "add", "iif", "lo", "prio", "10", "blackhole")
    start = time.monotonic()
    try:
        result = scan(network, timeout_s=0.3)
    finally:
        namespaces.ip(*quiet, "del", "prio", "10")
    assert time.monotonic() - start < 1.5
    assert ways(result) == [*SHORT_WAY[:4], *[None] * 16]
    assert not result.reached


def test_an_answer_that_comes_too_late_is_none(network: Network) -> None:
    network.delay(200)
    assert ways(scan(network, timeout_s=0.1)) == [SHORT_WAY[0], *[None] * 19]


def test_a_router_that_refuses_ends_the_path(network: Network) -> None:
    # From the other side: the kernel would hold back a refusal to whom it has just answered otherwise.
    result = network.inside("host", lambda: traceroute("44.9.9.9", timeout_s=0.3))
    assert (ways(result), result.reached) == (["44.0.5.1", "44.0.4.1", "44.0.3.1"], False)


def test_a_host_without_a_way_to_it_is_said_to_have_none(network: Network) -> None:
    with pytest.raises(ScanFailed) as failed:
        network.inside("x1", lambda: traceroute("2001:4860::8888", timeout_s=0.3))
    assert failed.value.code == "no_route"


def test_icmp_needs_the_hosts_permission_and_then_sees_the_same_path(network: Network) -> None:
    with pytest.raises(ScanFailed) as refused:
        scan(network, method="icmp")
    assert refused.value.code == "not_permitted"
    network.set("home", **{"net.ipv4.ping_group_range": "0 2147483647"})
    assert ways(scan(network, method="icmp")) == SHORT_WAY


def test_a_flow_takes_the_same_way_each_time_where_two_are_shared(network: Network) -> None:
    network.shared()
    assert len({tuple(ways(scan(network))) for _ in range(12)}) == 1


def test_a_scan_of_a_node_is_signed_text_with_the_first_hops_masked(network: Network) -> None:
    body = network.inside("home", lambda: run_scan({"scan": "scn1", "host": HOST, "method": "udp", "max_hops": 20}))
    assert [hop["ip"] for hop in body["hops"]] == [None, None, None, *SHORT_WAY[3:]]
    assert [hop["masked"] for hop in body["hops"]] == [True, True, True, False, False]
    assert (body["address"], body["error"]) == (HOST, None)
    assert body["total_rtt_ms"] == body["hops"][-1]["rtt_ms"]


def test_a_delay_that_jumps_up_is_a_latency_anomaly_towards_short_and_down_towards_long(network: Network) -> None:
    calm, _ = series(network, [3.0] * 15)
    up, _ = series(network, [30.0])
    found = detectors.zscore(calm + up)
    assert found is not None
    assert (found.direction, found.confidence) == (-1, 0.95)
    high, _ = series(network, [30.0] * 11)
    down, _ = series(network, [3.0])
    found = detectors.zscore(high + down)
    assert found is not None
    assert found.direction == 1


def test_a_delay_that_creeps_up_is_a_trend_towards_short_and_its_return_towards_long(network: Network) -> None:
    rising = [2.0 + 0.5 * step for step in range(20)]
    times, _ = series(network, [2.0] * 20 + rising)
    worse = detectors.trend_shift(times)
    assert detectors.trend_shift(times[:20] + times[:20]) is None
    assert worse is not None
    assert worse.direction == -1
    assert worse.confidence >= 0.85
    times, _ = series(network, [11.5] * 20 + rising[::-1])
    better = detectors.trend_shift(times)
    assert better is not None
    assert better.direction == 1


def test_a_route_that_changes_live_is_seen_and_its_length_gives_the_direction(network: Network) -> None:
    before = scan(network)
    network.long()
    now = scan(network)
    assert (ways(before), ways(now)) == (SHORT_WAY, LONG_WAY)
    longer, shorter = detectors.route_change(before.hops, now.hops), detectors.route_change(now.hops, before.hops)
    assert longer is not None
    assert shorter is not None
    assert (longer.direction, shorter.direction) == (-1, 1)
    assert longer.confidence == pytest.approx(0.45 + 0.40 * 4 / 6)
    assert detectors.route_change(before.hops, before.hops) is None


def test_a_path_that_gets_slow_and_long_makes_all_agree(network: Network) -> None:
    times, hops = series(network, [5.0] * 20 + [5.0 + step for step in range(19)])
    network.long()
    last, detour = series(network, [60.0])
    found = [
        detectors.zscore(times + last),
        detectors.trend_shift(times + last),
        detectors.route_change(hops[-1], detour[0]),
    ]
    said = [each for each in found if each is not None]
    both = detectors.composite(said)
    assert [each.kind for each in said] == ["latency_anomaly", "trend_shift", "route_change"]
    assert both is not None
    assert (both.direction, both.details["unanimous"]) == (-1, True)
    assert both.confidence >= 0.9
