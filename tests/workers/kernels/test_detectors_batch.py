"""A batch says of every scan what the live detectors say, bit for bit; the measured false alarms are reproducible."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bench import false_alarms
from bench.figures import detectors as figure
from workers.kernels import detectors
from workers.kernels.detectors import batch, composite, encode_route, route_change, trend_shift, zscore

TIMES = st.one_of(st.floats(0, 60_000), st.just(float("nan")), st.sampled_from([20.0, 20.5, 21.0]))


@settings(deadline=None)
@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(0, 60)), elements=TIMES))
def test_a_batch_says_what_the_live_detectors_say(series: np.ndarray) -> None:
    together = batch(series)
    for row, alone in enumerate(series):
        said = [each for each in (zscore(alone), trend_shift(alone)) if each is not None]
        both = composite(said)
        assert together.detections(row) == ([*said, both] if both else said)


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=8), st.data())
def test_routes_of_a_batch_are_judged_as_live_ones(before: list, data: st.DataObject) -> None:
    now = data.draw(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=8))
    moved = data.draw(st.sampled_from([-5.0, 0.0, 5.0]))
    first, second = ([{"hop": i, "ip": ip, "rtt_ms": None} for i, ip in enumerate(way, 1)] for way in (before, now))
    first[-1]["rtt_ms"], second[-1]["rtt_ms"] = 20.0, 20.0 + moved
    routes = [np.array([encode_route(way)]) for way in (first, second)]
    together = batch(np.full((1, 5), 20.0), None, *routes, np.array([moved]))
    alone = route_change(first, second)
    assert together.detections(0) == ([alone] if alone else [])


def test_one_bad_row_is_refused_and_the_others_are_judged() -> None:
    series, times = np.full((3, 20), 20.0), np.tile(np.arange(20.0), (3, 1))
    series[:, -1], series[1, 4], times[2] = 90.0, -1.0, 5.0
    together = batch(series, times)
    assert together.refused.tolist() == [False, True, True]
    assert (together.confidence[:, 0] > 0).tolist() == [True, False, False]
    with pytest.raises(detectors.MeasurementRefused):
        together.detections(1)


def test_a_batch_equals_the_rules_written_out_in_numpy() -> None:
    scans = figure.made()
    found, expected = batch(*scans).confidence, figure.loop(scans)
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert (np.count_nonzero(found, axis=0) >= 50).all()


def test_a_thousand_scans_take_milliseconds() -> None:
    scans = figure.made()
    batch(*scans)
    start = time.perf_counter()
    for _ in range(5):
        batch(*scans)
    assert (time.perf_counter() - start) / 5 < 0.02


def test_the_committed_false_alarms_are_what_the_recordings_give() -> None:
    committed = json.loads(false_alarms.RESULT.read_text())
    assert committed == false_alarms.measure()
    rates = {each["kind"]: each["rate"] for each in committed["detectors"]}
    assert max(rates.values()) < 0.03
    assert all(each["naive"]["rate"] > each["rate"] for each in committed["detectors"] if each["naive"])
