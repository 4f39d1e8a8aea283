"""Scans: what no path can be is refused, the same scan is stored once, and a node answers for itself only."""

import itertools
import math
from typing import Any

import pytest
from django.core.cache import cache
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from apps.core import parameters, platform_keys
from apps.core.models import Event
from apps.operators.models import NodeStatus
from apps.pool import broker
from apps.trading import market_time, scan_schedule, scans
from apps.trading.errors import ScanRefused
from apps.trading.models import Scan, ScanRun, ScanTarget, Source
from tests.apps.pool import cast as pool
from tests.apps.trading.scan_cast import HOST, NOW, PATH, later, measured, report, result_body, signed, target, together
from workers.protocol.clock import utcnow
from workers.protocol.envelope import KnownKey, open_envelope


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Any:
    cache.clear()
    parameters.forget_cached()
    yield
    parameters.forget_cached()


def ingest(**changes: Any) -> Scan:
    return scans.ingest(report(**changes), Source.LIVE, NOW)


@pytest.mark.django_db
def test_a_scan_is_stored_with_its_near_hops_hidden_and_its_times_kept() -> None:
    scan = ingest()
    assert [hop["ip"] for hop in scan.hops] == [None, None, None, "9.9.9.2", "1.1.1.1"]
    assert [hop["masked"] for hop in scan.hops] == [True, False, True, False, False]
    assert [hop["rtt_ms"] for hop in scan.hops] == [0.4, None, 5.0, 10.0, 12.5]
    assert (scan.total_rtt_ms, scan.target.host, len(scan.route_sha256)) == (12.5, HOST, 64)
    assert Event.objects.get(subject=scan.pk).kind == "scan.stored"


@pytest.mark.django_db
def test_the_same_scan_again_is_the_same_row_and_another_of_that_moment_is_refused() -> None:
    assert ingest().pk == ingest().pk
    with pytest.raises(ScanRefused, match="Another scan") as refused:
        ingest(hops=[], total_rtt_ms=99.0)
    assert refused.value.code == "scan_differs"
    assert Scan.objects.count() == Event.objects.filter(kind="scan.stored").count() == 1


REFUSED = [
    ({"measured_at": later(61)}, "scan_from_future"),
    ({"measured_at": later(-3601)}, "scan_too_old"),
    ({"host": "example.org"}, "target_unknown"),
    ({"method": "tcp"}, "method_unknown"),
    ({"hops": [], "total_rtt_ms": -1.0}, "rtt_invalid"),
    ({"hops": [], "total_rtt_ms": 60_000.1}, "rtt_invalid"),
    ({"hops": [], "total_rtt_ms": math.nan}, "rtt_invalid"),
    ({"hops": [], "total_rtt_ms": True}, "rtt_invalid"),
    ({"total_rtt_ms": 3.0}, "rtt_invalid"),
    ({"hops": [{"hop": 1, "ip": None, "rtt_ms": math.inf}]}, "rtt_invalid"),
    ({"hops": [{"hop": n, "ip": None, "rtt_ms": None} for n in range(1, 66)]}, "hops_invalid"),
    ({"hops": [{"hop": 1, "ip": None}, {"hop": 1, "ip": None}]}, "hops_invalid"),
    ({"hops": [{"hop": 0, "ip": None}]}, "hops_invalid"),
    ({"hops": [{"hop": 1, "ip": "kraken"}]}, "hops_invalid"),
    ({"hops": [{"hop": 1, "ip": None, "geo": "x"}]}, "hops_invalid"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("changes", "code"), REFUSED)
def test_what_no_path_can_be_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(ScanRefused) as refused:
        ingest(**changes)
    assert refused.value.code == code
    assert not Scan.objects.exists()


@pytest.mark.django_db
def test_a_clock_a_little_ahead_and_a_silent_path_are_fine() -> None:
    assert ingest(measured_at=later(60)).pk
    silent = ingest(hops=[{"hop": 1, "ip": None, "rtt_ms": None}], total_rtt_ms=None)
    assert (silent.total_rtt_ms, silent.route_sha256) == (None, "")


ANY_HOPS = st.lists(
    st.fixed_dictionaries(
        {
            "hop": st.integers(-2, 70) | st.booleans() | st.text(max_size=2),
            "ip": st.none() | st.ip_addresses().map(str) | st.text(max_size=5),
            "rtt_ms": st.none() | st.floats() | st.integers(-5, 70_000),
        }
    ),
    max_size=6,
)


class Anything(TestCase):
    @settings(max_examples=60, deadline=None)
    @given(hops=ANY_HOPS, total=st.none() | st.floats())
    def test_whatever_comes_is_refused_or_stored_sound(self, hops: list[dict[str, Any]], total: float | None) -> None:
        try:
            scan = ingest(hops=hops, total_rtt_ms=total)
        except ScanRefused:
            return
        scan.refresh_from_db()
        places = [hop["hop"] for hop in scan.hops]
        assert places == sorted(set(places))
        times = [hop["rtt_ms"] for hop in scan.hops if hop["rtt_ms"] is not None]
        assert all(0 <= rtt <= 60_000 for rtt in times)
        assert scan.total_rtt_ms == (times[-1] if times else total)
        assert all(hop["ip"] is None for hop in scan.hops[:-1] if hop["hop"] <= 3)


@pytest.fixture
def ada(db: None) -> pool.Machine:
    platform_keys.create(utcnow())
    return pool.machine("ada")


@pytest.fixture
def asked(ada: pool.Machine) -> ScanRun:
    return ScanRun.objects.create(
        id="scn_" + "0" * 26, target=target(), node=ada.node, cycle_at=NOW, due_at=NOW, sent_at=NOW
    )


def test_a_nodes_answer_is_stored_once_with_its_signature(ada: pool.Machine, asked: ScanRun) -> None:
    envelope = signed(ada, result_body(asked.pk, NOW), NOW)
    first = scans.ingest_node(envelope, ada.node, later(1))
    again = scans.ingest_node(envelope, ada.node, later(2))
    assert first is not None
    assert again == first
    assert (first.pk, first.node_id, first.vantage, first.region) == (asked.pk, ada.node.pk, ada.node.pk, "eu")
    assert first.envelope == envelope.raw
    asked.refresh_from_db()
    assert asked.answered_at == later(1)


def test_a_node_answers_for_its_own_scans_only(ada: pool.Machine, asked: ScanRun) -> None:
    bert = pool.machine("bert")
    foreign = signed(bert, result_body(asked.pk, NOW), NOW)
    other_host = signed(ada, result_body(asked.pk, NOW, host="coinbase.com"), NOW)
    unasked = signed(ada, result_body("scn_" + "1" * 26, NOW), NOW)
    for envelope, node, code in [
        (foreign, bert.node, "scan_forged"),
        (foreign, ada.node, "scan_forged"),
        (other_host, ada.node, "scan_forged"),
        (unasked, ada.node, "scan_not_asked"),
    ]:
        with pytest.raises(ScanRefused) as refused:
            scans.ingest_node(envelope, node, NOW)
        assert refused.value.code == code
    assert not Scan.objects.exists()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"measured_at": 1}, "scan_too_old"),
        ({"measured_at": "now"}, "scan_too_old"),
        ({"hops": "none"}, "hops_invalid"),
        ({"hops": [7]}, "hops_invalid"),
        ({"total_rtt_ms": "much"}, "rtt_invalid"),
        ({"total_rtt_ms": "-1"}, "rtt_invalid"),
        ({"total_rtt_ms": "nan", "hops": []}, "rtt_invalid"),
    ],
)
def test_a_signed_answer_is_checked_all_the_same(
    ada: pool.Machine, asked: ScanRun, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(ScanRefused) as refused:
        scans.ingest_node(signed(ada, result_body(asked.pk, NOW, **changes), NOW), ada.node, NOW)
    assert refused.value.code == code


def test_one_scan_has_one_answer(ada: pool.Machine, asked: ScanRun) -> None:
    scans.ingest_node(signed(ada, result_body(asked.pk, NOW), NOW), ada.node, NOW)
    with pytest.raises(ScanRefused) as refused:
        scans.ingest_node(signed(ada, result_body(asked.pk, later(1)), NOW), ada.node, later(1))
    assert refused.value.code == "scan_differs"


def test_a_scan_that_failed_on_the_node_is_noted_and_is_no_measurement(ada: pool.Machine, asked: ScanRun) -> None:
    fault = {"code": "host_unknown", "detail": "No address."}
    body = result_body(asked.pk, NOW, hops=[], total_rtt_ms=None, error=fault)
    assert scans.ingest_node(signed(ada, body, NOW), ada.node, NOW) is None
    asked.refresh_from_db()
    assert asked.error == "host_unknown: No address."
    assert not Scan.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_one_scan_reported_by_two_at_once_is_one_row() -> None:
    target()
    found = together(*[ingest] * 4)
    assert len({scan.pk for scan in found}) == 1
    assert Scan.objects.count() == Event.objects.filter(kind="scan.stored").count() == 1


def test_every_region_scans_every_target_one_after_another(ada: pool.Machine) -> None:
    for name in ("bert", "carl"):
        pool.machine(name)
    asia = pool.machine("dora", pool.operator("dora-owner", region="asia"))
    pool.machine("emil", status=NodeStatus.DEGRADED, reason="It is slow.")
    pool.machine("fred", lanes={"scan": 0})
    scan_schedule.run(NOW)
    runs = list(ScanRun.objects.select_related("node__operator", "target"))
    hosts = ScanTarget.objects.filter(active=True).count()
    assert hosts == 6
    assert len(runs) == 3 * hosts
    assert {run.node.operator.region for run in runs} == {"eu", "asia"}
    assert not {"emil", "fred"} & {run.node.name for run in runs}
    due = sorted(run.due_at for run in runs if run.node_id == asia.node.pk)
    assert all((b - a).total_seconds() == 5 for a, b in itertools.pairwise(due))


def test_a_cycle_is_asked_for_once_and_the_next_by_the_same_nodes(ada: pool.Machine) -> None:
    scan_schedule.plan(NOW)
    assert scan_schedule.plan(later(899)) == 0
    first = set(ScanRun.objects.values_list("target", "node"))
    assert scan_schedule.plan(later(900)) == len(first)
    assert set(ScanRun.objects.filter(cycle_at=later(900)).values_list("target", "node")) == first


def test_what_a_node_is_sent_is_signed_and_sent_once(ada: pool.Machine) -> None:
    broker.purge(ada.node.pk)
    target()
    scan_schedule.plan(NOW)
    sent = scan_schedule.send_due(later(60))
    assert sent == ScanRun.objects.filter(sent_at=later(60)).count() == 6
    assert scan_schedule.send_due(later(61)) == 0
    queue = broker.client().lrange(broker.queue(ada.node.pk, "scan"), 0, -1)
    broker.purge(ada.node.pk)
    assert len(queue) == 6
    run = ScanRun.objects.select_related("target").first()
    assert run is not None
    key = platform_keys.signing_key()
    opened = open_envelope(
        scan_schedule.order(run, NOW),
        net=platform_keys.network_id(),
        to=ada.node.pk,
        kinds={"scan.run"},
        resolve=lambda _: KnownKey(key.public, "platform"),
        now=NOW,
        replay=None,
    )
    assert opened.body == {"scan": run.pk, "host": run.target.host, "method": "udp", "max_hops": 20}


@pytest.mark.django_db(transaction=True)
def test_two_schedulers_ask_once() -> None:
    platform_keys.create(utcnow())
    ada = pool.machine("ada")
    broker.purge(ada.node.pk)
    target()
    together(*[lambda: scan_schedule.plan(NOW)] * 3)
    sent = together(*[lambda: scan_schedule.send_due(later(60))] * 3)
    queued = broker.client().llen(broker.queue(ada.node.pk, "scan"))
    broker.purge(ada.node.pk)
    assert sum(sent) == queued == ScanRun.objects.count() == 6


def test_nobody_scans_in_a_replay(ada: pool.Machine) -> None:
    market_time.start_replay("A recording.", NOW, later(3600), NOW)
    assert scan_schedule.run(NOW) == 0
    assert not ScanRun.objects.exists()


@pytest.mark.django_db
def test_a_recording_keeps_its_hops_as_they_were() -> None:
    scan = scans.ingest(report(recording="RIPE Atlas"), Source.REPLAY, NOW)
    assert [hop["ip"] for hop in scan.hops] == [hop["ip"] for hop in PATH]
    assert len(measured([1.0, 2.0], "probe 2")) == 2
