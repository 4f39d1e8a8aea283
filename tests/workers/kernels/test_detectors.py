"""What the detectors say: their thresholds, confidences, directions, and what they refuse or pass over."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.kernels import detectors
from workers.kernels.detection import BANDS, Detection, MeasurementRefused, band, composite
from workers.kernels.detectors import TREND, Z, route_change, trend_shift, zscore

# Ten points with median 50 and a spread that the small count raises to 2 ms: see `scale`.
CALM = [48.0, 49.0, 49.0, 50.0, 50.0, 50.0, 50.0, 51.0, 51.0, 52.0]


def scale(points: list[float]) -> float:
    """The scale that the newest point is measured in, from the formula and not from the code."""
    centre = np.median(points)
    spread = 1.4826 * np.median(np.abs(np.array(points) - centre))
    return max(spread * (1 + 6 / (len(points) - 3.3)), 0.5, 0.005 * centre)


def path(*addresses: str | None, last_ms: float | None = None) -> list[dict[str, object]]:
    hops = [{"hop": place, "ip": address, "rtt_ms": None} for place, address in enumerate(addresses, 1)]
    hops[-1]["rtt_ms"] = last_ms
    return hops


def noise(seed: int, count: int, width: float = 1.0) -> list[float]:
    return list(50 + np.random.default_rng(seed).normal(0, width, count))


@pytest.mark.parametrize(
    ("z", "confidence"), [(2.5, 0.50), (3.0, 0.55), (3.9, 0.64), (4.0, 0.75), (5.0, 0.85), (6.0, 0.95), (60.0, 0.95)]
)
def test_a_point_far_from_the_median_is_an_anomaly_and_its_distance_the_confidence(z: float, confidence: float) -> None:
    found = zscore([*CALM, 50.0 + (z + 1e-9) * scale(CALM)])
    assert found is not None
    assert (found.kind, found.direction) == ("latency_anomaly", -1)
    assert found.confidence == pytest.approx(confidence, abs=1e-6)
    assert found.strength == pytest.approx(z / 2.5, abs=1e-6)


def test_a_point_within_two_and_a_half_scales_is_none() -> None:
    assert zscore([*CALM, 50.0 + 2.49 * scale(CALM)]) is None


def test_a_long_path_must_move_by_more_than_a_short_one() -> None:
    quiet = [0.0, 0.01] * 10
    assert zscore([*(300 + point for point in quiet), 303.5]) is None
    assert zscore([*(30 + point for point in quiet), 33.5]) is not None


def test_the_median_of_an_even_count_is_between_the_two_in_the_middle() -> None:
    found = zscore([*[40.0] * 6, *[60.0] * 6, 500.0])
    assert found is not None
    assert found.details["baseline"] == 50.0


def test_a_drop_is_towards_long() -> None:
    found = zscore([*CALM, 50.0 - 5 * scale(CALM)])
    assert found is not None
    assert found.direction == 1


@pytest.mark.parametrize(("moved", "said"), [(1.0, False), (1.01, True), (-1.01, True)])
def test_a_flat_baseline_is_left_when_it_moves_by_more_than_a_millisecond(moved: float, said: bool) -> None:
    found = zscore([20.0] * 20 + [20.0 + moved])
    assert (found is not None) == said
    if found:
        assert (found.confidence, found.direction) == (0.60, -1 if moved > 0 else 1)
        assert found.details["flat"] == 1.0


def test_fewer_than_ten_answers_say_nothing() -> None:
    assert zscore([*CALM[:9], 500.0]) is None
    assert zscore([*CALM[:9], math.nan, math.nan, 500.0]) is None
    assert zscore([*CALM, 500.0]) is not None


def test_silence_is_passed_over_wherever_it_is() -> None:
    broken = [math.nan, *CALM[:4], math.nan, math.nan, *CALM[4:], math.nan, 90.0]
    assert zscore(broken) == zscore([*CALM, 90.0])
    assert zscore([*CALM, 90.0, math.nan]) is None
    assert zscore([math.nan] * 60) is None
    assert zscore([]) is None


def test_only_the_last_fifty_answers_are_the_baseline() -> None:
    old = [500.0] * 40
    assert zscore([*old, *noise(1, 50), 80.0]) == zscore([*noise(1, 50), 80.0])


def test_spikes_in_the_baseline_do_not_hide_the_next_one() -> None:
    spiked = noise(2, 50)
    spiked[5::10] = [400.0] * 5
    found = zscore([*spiked, 60.0])
    assert found is not None
    plain = np.array(spiked)
    assert abs(60.0 - plain.mean()) < 2.5 * plain.std()


@pytest.mark.parametrize("count", [10, 15, 30, 50])
def test_normal_noise_passes_the_threshold_as_seldom_as_it_should_at_any_count(count: int) -> None:
    series = 500 + np.random.default_rng(count).normal(0, 50, (20_000, count + 1))
    rate = float(np.mean(detectors.batch(series).confidence[:, 0] > 0))
    assert 0.009 < rate < 0.017


@pytest.mark.parametrize("wrong", [-0.001, -50.0, math.inf, -math.inf, 60_000.1])
def test_times_that_no_path_can_have_are_refused(wrong: float) -> None:
    for place in (0, 5, 10):
        series = [*CALM, 51.0]
        series[place] = wrong
        with pytest.raises(MeasurementRefused):
            zscore(series)
        with pytest.raises(MeasurementRefused):
            trend_shift(series)


def rising(slope: float, before: float = 0.0, seed: int = 3) -> list[float]:
    steps = np.concatenate([before * np.arange(-20, 0), slope * np.arange(20)])
    return list(100 + steps + np.random.default_rng(seed).normal(0, 0.3, 40))


def test_a_rise_after_level_times_is_a_trend_towards_short_and_a_fall_towards_long() -> None:
    worse, better = trend_shift(rising(1.0)), trend_shift(rising(-1.0))
    assert worse is not None
    assert better is not None
    assert (worse.direction, better.direction) == (-1, 1)
    assert worse.confidence == pytest.approx(min(0.40 + 0.25 * worse.details["r2"] + 0.30, 0.90))
    assert worse.details["now"] == pytest.approx(60.0, abs=3)


def test_the_confidence_of_a_trend_follows_its_change_and_fit() -> None:
    found = trend_shift(rising(1.5, before=1.0))
    assert found is not None
    change, r2 = found.details["change"], found.details["r2"]
    assert change == pytest.approx(0.5, abs=0.1)
    assert found.confidence == pytest.approx(0.40 + 0.25 * r2 + 0.10 * change)
    assert found.strength == pytest.approx(change / 0.3)


def test_beyond_three_a_larger_change_adds_nothing() -> None:
    noisy = np.random.default_rng(5).normal(0, 1.5, 40)
    found = trend_shift(list(100 + np.concatenate([np.zeros(20), 0.3 * np.arange(20)]) + noisy))
    assert found is not None
    assert found.details["change"] > 3
    assert found.confidence == pytest.approx(0.40 + 0.25 * found.details["r2"] + 0.30)
    assert found.confidence < 0.90


def test_a_trend_without_any_noise_is_seen() -> None:
    found = trend_shift([16.0] * 20 + [16.0 + 0.5 * step for step in range(20)])
    assert found is not None
    assert (found.direction, found.confidence) == (-1, 0.90)


def test_one_spike_does_not_hide_a_trend() -> None:
    series = rising(1.0)
    series[22] += 300.0
    assert trend_shift(series) is not None


@pytest.mark.parametrize(
    "series",
    [
        rising(1.2, before=1.0),
        rising(0.0),
        rising(0.3, before=1.0),
        list(100 + 0.002 * np.maximum(np.arange(-20.0, 20.0), 0)),
        [100.0] * 40,
        rising(1.0)[1:],
    ],
    ids=["less than 30% steeper", "no slope", "slower, but no return", "too little to matter", "flat", "39 points"],
)
def test_what_is_no_new_trend_is_not_called_one(series: list[float]) -> None:
    assert trend_shift(series) is None


def test_noise_alone_is_hardly_ever_a_trend() -> None:
    series = 50 + np.random.default_rng(4).normal(0, 3, (20_000, 40))
    assert np.mean(detectors.batch(series).confidence[:, 1] > 0) < 0.002


def test_one_spike_does_not_make_a_trend() -> None:
    series = rising(0.0)
    series[-1] += 60.0
    assert trend_shift(series) is None


def test_a_trend_counts_time_and_not_points() -> None:
    times = [900.0 * step for step in range(40)]
    found = trend_shift(rising(1.0), times)
    assert found is not None
    assert found.details["now"] == pytest.approx(60 / 900, rel=0.05)
    assert found.confidence == pytest.approx(trend_shift(rising(1.0)).confidence)


@pytest.mark.parametrize("times", [[0.0] * 40, list(range(39)), [*range(39), math.nan], list(range(40, 0, -1))])
def test_points_without_a_time_of_their_own_are_refused(times: list[float]) -> None:
    with pytest.raises(MeasurementRefused):
        trend_shift(rising(1.0), times)


def test_a_longer_route_is_towards_short_and_a_shorter_towards_long() -> None:
    short, long = path("a", "b", "c", "z"), path("a", "b", "x", "y", "z")
    worse, better = route_change(short, long), route_change(long, short)
    assert worse is not None
    assert better is not None
    assert (worse.direction, better.direction) == (-1, 1)
    assert worse.confidence == pytest.approx(0.45 + 0.40 * 3 / 5)
    assert (worse.details["changed"], worse.details["compared"]) == (3.0, 5.0)


def test_silent_hops_are_neither_equal_nor_changed() -> None:
    before, now = path("a", None, "c", "d", "z"), path("a", "b", None, "d", "z")
    assert route_change(before, now) is None
    found = route_change(path("a", None, "c", "z", last_ms=9.0), path("a", "b", "x", "z", last_ms=19.0))
    assert found is not None
    assert found.details["compared"] == 3.0


@pytest.mark.parametrize(("hops", "said"), [(7, False), (6, True)])
def test_a_route_must_change_by_fifteen_in_a_hundred(hops: int, said: bool) -> None:
    same = [f"r{i}" for i in range(hops - 1)]
    before, now = path(*same, "z", last_ms=5.0), path("x", *same[1:], "z", last_ms=50.0)
    assert (route_change(before, now) is not None) == said


@pytest.mark.parametrize(("now_ms", "direction"), [(30.0, -1), (10.0, 1), (20.5, None), (None, None)])
def test_a_route_of_the_same_length_takes_its_direction_from_the_time(
    now_ms: float | None, direction: int | None
) -> None:
    found = route_change(path("a", "b", "z", last_ms=20.0), path("a", "x", "z", last_ms=now_ms))
    assert (found and found.direction) == direction


def test_the_time_of_a_route_is_that_of_its_last_hop_that_answered() -> None:
    before, now = path("a", "b", "z", last_ms=20.0), path("a", "x", "z", last_ms=30.0)
    before[1]["rtt_ms"] = 90.0
    assert route_change(before, now).direction == -1


def test_hops_count_only_where_both_paths_end_at_the_same_address() -> None:
    assert route_change(path("a", "b", "z"), path("a", "b", None, None)) is None
    cut = route_change(path("a", "b", "c", "z"), path("a", "x", None, None))
    assert cut is None


def test_a_wholly_new_route_reaches_the_cap() -> None:
    found = route_change(path("a", "b", "c", last_ms=1.0), path("x", "y", "w", last_ms=90.0))
    assert found is not None
    assert found.confidence == 0.85


@pytest.mark.parametrize(
    "hops",
    [[{"ip": "a"}], [{"hop": 0, "ip": "a"}], [{"hop": 65, "ip": "a"}], [{"hop": 1, "ip": 7}], [*path("a"), *path("b")]],
)
def test_malformed_hops_are_refused(hops: list[dict[str, object]]) -> None:
    with pytest.raises(MeasurementRefused):
        route_change(path("a"), hops)


def test_hops_may_come_in_any_order_and_with_times_as_text() -> None:
    before = [{**hop, "rtt_ms": "20.000"} for hop in path("a", "b", "z")]
    now = [{**hop, "rtt_ms": "45.125"} for hop in path("a", "x", "z")]
    assert route_change(before, now[::-1]) == route_change(before, now)
    assert route_change(before, now).direction == -1


def said(kind: str, direction: int, confidence: float) -> Detection:
    return Detection(kind, direction, confidence, 1.0)


def test_two_that_agree_make_a_composite_by_their_weights() -> None:
    both = composite([said("trend_shift", -1, 0.6), said("latency_anomaly", -1, 0.8)])
    assert both is not None
    assert both.confidence == pytest.approx((0.45 * 0.8 + 0.30 * 0.6) / 0.75 * 1.10)
    assert (both.kind, both.direction, both.details["unanimous"]) == ("composite", -1, True)


def test_of_each_kind_the_most_confident_speaks_in_whatever_order() -> None:
    sure, unsure, other = said("route_change", -1, 0.8), said("route_change", -1, 0.5), said("trend_shift", -1, 0.6)
    assert composite([sure, unsure, other]) == composite([unsure, sure, other]) == composite([sure, other])


def test_one_that_disagrees_takes_its_weight_and_the_unanimity() -> None:
    three = [said("latency_anomaly", -1, 0.8), said("trend_shift", 1, 0.9), said("route_change", -1, 0.7)]
    both = composite(three)
    assert both is not None
    assert both.confidence == pytest.approx(0.45 * 0.8 + 0.25 * 0.7)
    assert both.details["disagreed"] == ["trend_shift"]


def test_one_alone_or_one_against_one_is_no_composite() -> None:
    assert composite([]) is None
    assert composite([said("latency_anomaly", -1, 0.9)]) is None
    assert composite([said("latency_anomaly", -1, 0.9), said("latency_anomaly", -1, 0.8)]) is None
    assert composite([said("latency_anomaly", -1, 0.9), said("trend_shift", 1, 0.9)]) is None


def test_a_composite_is_no_more_certain_than_its_cap() -> None:
    both = composite([said("latency_anomaly", -1, 0.95), said("trend_shift", -1, 0.90), said("route_change", -1, 0.85)])
    assert both is not None
    assert both.confidence == 0.95


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["latency_anomaly", "trend_shift", "route_change"]),
            st.sampled_from([-1, 1]),
            st.floats(0.4, 0.95),
        ),
        max_size=6,
    ),
    st.randoms(),
)
def test_a_composite_does_not_depend_on_the_order_and_stays_within_bounds(spoken: list, random: object) -> None:
    detections = [said(*each) for each in {(kind, way): (kind, way, c) for kind, way, c in spoken}.values()]
    shuffled = list(detections)
    random.shuffle(shuffled)
    kinds = [each.kind for each in detections]
    if len(kinds) == len(set(kinds)):
        assert composite(shuffled) == composite(detections)
    both = composite(shuffled)
    assert both is None or 0 < both.confidence <= 0.95


def test_every_confidence_has_its_band() -> None:
    assert [name for _, name in BANDS] == ["weak", "marginal", "moderate", "strong", "very strong"]
    edges = [0.39, 0.40, 0.5499, 0.55, 0.6499, 0.65, 0.7499, 0.75, 0.8999, 0.90, 0.95]
    expected = [None, "weak", "weak", "marginal", "marginal", "moderate", "moderate", "strong", "strong"]
    assert [band(edge) for edge in edges] == [*expected, "very strong", "very strong"]


def test_details_are_json_without_nan() -> None:
    found = [zscore([*CALM, 90.0]), trend_shift(rising(1.0)), route_change(path("a", "z"), path("a", "b", "z"))]
    for each in [*found, composite([one for one in found if one])]:
        json.dumps(each.details, allow_nan=False)


def test_the_thresholds_are_those_of_the_sources() -> None:
    assert (Z.window, Z.minimum, Z.threshold, Z.critical, Z.cap, Z.flat) == (50, 10, 2.5, 4.0, 0.95, 0.60)
    assert (TREND.width, TREND.change, TREND.cap) == (20, 0.3, 0.90)
    assert (detectors.ROUTE.share, detectors.ROUTE.cap) == (0.15, 0.85)
