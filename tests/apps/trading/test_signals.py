"""Signals: found once a scan and pair, taken by one, gone after half an hour of market time."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from apps.core import parameters
from apps.core.models import Event
from apps.trading import market_time, scans, signals, tasks_scans
from apps.trading.models import Direction, MarketClock, Scan, Signal, SignalKind, SignalStatus, Source
from apps.trading.signals import band
from tests.apps.trading.scan_cast import NOW, later, measured, report, signal, spike, target, together


def path(length: int, network: int) -> list[dict[str, object]]:
    return [{"hop": n, "ip": f"9.9.{network}.{n}", "rtt_ms": 2.0 * n} for n in range(1, length + 1)]


@pytest.fixture(autouse=True)
def clean() -> None:
    parameters.forget_cached()


@pytest.mark.django_db
def test_a_spike_is_bearish_for_every_pair_of_the_host() -> None:
    spike()
    found = signals.detect(target(), "probe 1", NOW)
    anomalies = [one for one in found if one.kind == SignalKind.LATENCY_ANOMALY]
    assert {one.pair for one in anomalies} == {"BTC-USD", "ETH-USD"}
    assert {one.direction for one in anomalies} == {Direction.SHORT}
    assert all(one.confidence >= 0.55 and one.status == SignalStatus.ACTIVE for one in found)
    assert {one.expires_at for one in found} == {later(1800)}
    assert Event.objects.filter(kind="signal.stored").count() == len(found)


@pytest.mark.django_db
def test_a_recovery_is_bullish() -> None:
    measured([60.0 + 0.3 * (n % 5) for n in range(30)] + [20.0])
    found = signals.detect(target(), "probe 1", NOW)
    assert {one.direction for one in found if one.kind == SignalKind.LATENCY_ANOMALY} == {Direction.LONG}


@pytest.mark.django_db
@pytest.mark.parametrize(("before", "now", "direction"), [(5, 10, Direction.SHORT), (10, 5, Direction.LONG)])
def test_more_hops_are_bearish_and_fewer_are_bullish(before: int, now: int, direction: str) -> None:
    for hops, at in [(path(before, 9), later(-60)), (path(now, 8), NOW)]:
        scans.ingest(report(measured_at=at, hops=hops, total_rtt_ms=None), Source.LIVE, at)
    found = signals.detect(target(), "probe 1", NOW)
    assert {(one.kind, one.direction) for one in found} == {(SignalKind.ROUTE_CHANGE, direction)}


@pytest.mark.django_db
def test_looking_again_stores_nothing_more() -> None:
    spike()
    first = signals.detect(target(), "probe 1", NOW)
    assert signals.detect(target(), "probe 1", later(60)) == []
    assert Signal.objects.count() == len(first) > 0


@pytest.mark.django_db(transaction=True)
def test_looking_at_once_stores_each_signal_once() -> None:
    spike()
    host = target()
    found = together(*[lambda: signals.detect(host, "probe 1", NOW)] * 4)
    assert sum(map(len, found)) == Signal.objects.count() > 0
    assert Event.objects.filter(kind="signal.stored").count() == Signal.objects.count()


@pytest.mark.django_db
def test_what_is_weak_is_discarded() -> None:
    spike()
    parameters.set_parameter("signals.store_from_bp", 9600, actor=None, reason="test", now=NOW)
    parameters.forget_cached()
    assert signals.detect(target(), "probe 1", NOW) == []
    assert not Signal.objects.exists()


@pytest.mark.django_db
def test_a_steady_path_a_silent_end_and_an_old_scan_say_nothing() -> None:
    measured([20.0 + 0.3 * (n % 5) for n in range(31)], "steady")
    measured([20.0 + 0.3 * (n % 5) for n in range(30)] + [None], "silent")
    spike("old")
    assert signals.detect(target(), "steady", NOW) == []
    assert signals.detect(target(), "silent", NOW) == []
    assert signals.detect(target(), "old", later(3601)) == []
    assert signals.detect(target(), "nobody", NOW) == []


@pytest.mark.django_db
def test_a_later_scan_is_not_looked_at_before_its_time() -> None:
    spike()
    assert signals.detect(target(), "probe 1", later(-60)) == []


@pytest.mark.django_db
def test_vantages_and_methods_are_not_mixed() -> None:
    measured([20.0] * 30, "probe 1")
    measured([60.0], "probe 2")
    assert signals.detect(target(), "probe 2", NOW) == []


@pytest.mark.parametrize(
    ("confidence", "word"),
    [(0.40, "weak"), (0.54, "weak"), (0.55, "marginal"), (0.65, "moderate"), (0.75, "strong"), (0.95, "very strong")],
)
def test_a_confidence_has_its_band(confidence: float, word: str) -> None:
    assert band(confidence) == word


@pytest.mark.django_db(transaction=True)
def test_of_two_takers_exactly_one_takes_it() -> None:
    for _ in range(5):
        one = signal()
        calls = [partial(signals.take, one.pk, n % 2 == 0, f"taker {n}", NOW) for n in range(4)]
        taken = together(*calls)
        one.refresh_from_db()
        assert taken.count(True) == 1
        assert one.reason == f"taker {taken.index(True)}"
        assert one.status == (SignalStatus.ACTED if taken.index(True) % 2 == 0 else SignalStatus.PASSED)
        assert Event.objects.filter(kind="signal.taken", subject=one.pk).count() == 1


@pytest.mark.django_db
def test_an_expired_signal_is_not_acted_on() -> None:
    late = signal()
    assert not signals.take(late.pk, True, "late", later(1800))
    assert signals.expire_due(later(1799)) == 0
    assert signals.expire_due(later(1800)) == 1
    assert not signals.take(late.pk, False, "later still", later(1801))
    late.refresh_from_db()
    assert (late.status, late.reason) == (SignalStatus.EXPIRED, "Nobody acted on it in time.")


@pytest.mark.django_db
def test_taking_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="for a reason"):
        signals.take(signal().pk, True, "", NOW)


@pytest.mark.django_db
def test_active_signals_are_those_that_may_be_taken_now() -> None:
    strong, fair = signal(confidence=0.8), signal(confidence=0.55)
    signal(confidence=0.5)
    signal(status=SignalStatus.PASSED, reason="Passed.")
    signal(expires_at=NOW)
    signal(market_at=later(1))
    assert list(signals.active(NOW)) == [strong, fair]
    assert list(signals.active(NOW, 0.65)) == [strong]


@pytest.mark.django_db
def test_the_sweep_finds_what_a_lost_message_left_and_is_silent_in_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    series = spike()
    Scan.objects.update(received_at=NOW)
    monkeypatch.setattr(tasks_scans, "utcnow", lambda: NOW)
    market_time.start_replay("A recording.", NOW, later(60), NOW)
    assert tasks_scans.sweep() == tasks_scans.detect(series[-1].pk) == 0
    MarketClock.objects.update(source=Source.LIVE)
    assert tasks_scans.sweep() == Signal.objects.count() > 0
    assert tasks_scans.detect(series[-1].pk) == tasks_scans.detect("scn_gone") == 0


class AnyPath(TestCase):
    @settings(max_examples=25, deadline=None)
    @given(rtts=st.lists(st.none() | st.floats(0, 60_000), min_size=1, max_size=45))
    def test_whatever_was_measured_the_signals_are_sound(self, rtts: list[float | None]) -> None:
        measured(rtts)
        for one in signals.detect(target(), "probe 1", NOW):
            assert 0.55 <= one.confidence <= 0.95
            assert one.pair in target().pairs
            assert one.details["scan"] == Scan.objects.latest("measured_at").pk
