"""Market data: what is wrong is stored as a fault, never filled and never let in."""

import math
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from apps.trading import candles
from apps.trading.models import Candle, CandleFault, Source
from apps.trading.sources.replay_source import ReplaySource

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MS = int(START.timestamp() * 1000)
LATER = START + timedelta(days=1)
BTC = "BTC-USD"
RECORDING = Path(str(files("meshwork") / "recordings" / "candles-btc-usd-1m.csv.gz"))


def row(minute: float, close: Any = 100.0, **more: Any) -> list[Any]:
    values = {"o": 100.0, "h": 101.0, "l": 99.0, "v": 2.0} | more
    return [MS + int(minute * 60_000), values["o"], values["h"], values["l"], close, values["v"]]


def ingest(*rows: Any, now: datetime = LATER) -> candles.Ingested:
    return candles.ingest(Source.LIVE, "coinbase", BTC, rows, now)


def faults() -> list[tuple[str, int]]:
    return [(one.fault, one.bars) for one in CandleFault.objects.order_by("pk")]


@pytest.mark.django_db
class TestIngest:
    def test_sound_bars_are_stored(self) -> None:
        assert ingest(row(0), row(1)).accepted == 2
        assert faults() == []

    def test_the_same_answer_again_changes_nothing(self) -> None:
        rows = [row(0), row(2), row(1, close=math.nan), row(2)]
        first = ingest(*rows)
        again = ingest(*rows)
        assert (first.accepted, len(first.faults)) == (2, 3)
        assert (again.accepted, again.known, again.faults) == (0, 2, [])

    def test_a_gap_is_a_fault_with_its_length_and_is_not_filled(self) -> None:
        ingest(row(0))
        ingest(row(4))
        fault = CandleFault.objects.get()
        assert (fault.fault, fault.bars, fault.opened_at) == ("gap", 3, START + timedelta(minutes=1))
        assert Candle.objects.count() == 2

    @pytest.mark.parametrize(
        "bad",
        [
            row(0, close=math.nan),
            row(0, h=math.inf),
            row(0, h=98.0, l=99.0),
            row(0, close=102.0),
            row(0, close=98.0),
            row(0, o=0.0),
            row(0, l=-1.0),
            row(0, v=-1.0),
            row(0, close=None),
            row(0, close="many"),
            row(0.5),
            [MS, 1, 1, 1],
            [math.nan, 1, 1, 1, 1, 1],
            [10**30, 1, 1, 1, 1, 1],
        ],
        ids=str,
    )
    def test_a_bad_row_is_a_fault_and_no_bar(self, bad: list[Any]) -> None:
        assert ingest(bad, row(3)).accepted == 1
        assert faults() == [("bad_row", 1)]

    def test_a_minute_that_is_not_over_is_refused(self) -> None:
        assert ingest(row(0), now=START + timedelta(seconds=59)).accepted == 0
        assert ingest(row(0), now=START + timedelta(seconds=60)).accepted == 1

    def test_a_minute_that_comes_twice_in_one_answer_keeps_the_first(self) -> None:
        ingest(row(0), row(0, close=100.5))
        assert faults() == [("duplicate", 1)]
        assert Candle.objects.get().close == 100.0

    def test_a_stored_minute_that_comes_with_other_values_keeps_the_first(self) -> None:
        ingest(row(0))
        ingest(row(0, close=100.5))
        assert faults() == [("duplicate", 1)]
        assert Candle.objects.get().close == 100.0

    def test_rows_out_of_order_are_noted_and_make_no_gap(self) -> None:
        assert ingest(row(1), row(0), row(2)).accepted == 3
        assert faults() == [("out_of_order", 1)]

    def test_a_bar_that_comes_late_is_stored_and_noted(self) -> None:
        ingest(row(0), row(2))
        ingest(row(1))
        assert faults() == [("gap", 1), ("out_of_order", 1)]
        assert candles.window(BTC, LATER, 9)[:, 0].tolist() == [MS, MS + 60_000, MS + 120_000]

    def test_queries_do_not_grow_with_the_rows(self) -> None:
        with CaptureQueriesContext(connection) as few:
            ingest(row(0), row(2))
        with CaptureQueriesContext(connection) as many:
            ingest(*[row(2 * n) for n in range(2, 100)])
        assert len(many) == len(few)


@pytest.mark.django_db
class TestLooking:
    def test_the_window_ends_with_the_last_complete_bar(self) -> None:
        ingest(*[row(n, close=100 + n / 10) for n in range(5)])
        found = candles.window(BTC, START + timedelta(minutes=3, seconds=59), 2)
        assert found.shape == (2, 6)
        assert found[:, 4].tolist() == [100.1, 100.2]

    def test_a_window_without_bars_is_empty(self) -> None:
        assert candles.window(BTC, LATER, 300).shape == (0, 6)

    def test_the_price_is_the_close_of_the_minute_that_ended(self) -> None:
        ingest(row(0, close=100.25))
        assert candles.price_at(BTC, START + timedelta(seconds=59)) is None
        assert candles.price_at(BTC, START + timedelta(seconds=60)) == 100.25
        assert candles.price_at(BTC, START + timedelta(seconds=119)) == 100.25

    def test_over_a_gap_there_is_no_price(self) -> None:
        ingest(row(0), row(2))
        assert candles.price_at(BTC, START + timedelta(minutes=2)) is None
        assert candles.price_at(BTC, START + timedelta(minutes=3)) == 100.0

    def test_two_venues_are_not_mixed(self) -> None:
        ingest(row(0), row(1))
        candles.ingest(Source.LIVE, "kraken", BTC, [row(2, close=99.5)], LATER)
        assert candles.window(BTC, LATER, 9)[:, 4].tolist() == [99.5]

    def test_a_replay_does_not_see_live_bars(self) -> None:
        from apps.trading import market_time

        ingest(row(0))
        market_time.start_replay("a recording", START, LATER, LATER)
        assert candles.window(BTC, LATER, 9).shape == (0, 6)


@pytest.mark.django_db
def test_the_recorded_day_has_its_58_missing_minutes_in_52_gaps() -> None:
    rows = ReplaySource(RECORDING).rows(BTC, None, None)
    begins = datetime(2019, 3, 29, tzinfo=UTC)
    found = candles.ingest(Source.REPLAY, "bitfinex", BTC, rows, begins + timedelta(days=1))
    assert found.accepted == 1382
    assert {fault.fault for fault in found.faults} == {"gap"}
    assert (len(found.faults), sum(fault.bars for fault in found.faults)) == (52, 58)


WILD = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([100.0, 99.0, 101.0, 0.0, -1.0]),
    st.none(),
    st.text(max_size=3),
)


class TestAnything(TestCase):
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.integers(-3, 12), st.lists(WILD, min_size=4, max_size=5)), max_size=12))
    def test_whatever_a_source_says_each_row_is_a_bar_known_or_a_fault(self, said: list[tuple[int, list[Any]]]) -> None:
        rows = [[MS + minute * 60_000, *values] for minute, values in said]
        found = ingest(*rows)
        bars = candles.window(BTC, LATER, 100)
        assert len(bars) == found.accepted
        assert (bars[:, 3] > 0).all()
        assert (bars[:, 2] >= bars[:, 3]).all()
        assert list(bars[:, 0]) == sorted(set(bars[:, 0]))
        refused = [one for one in found.faults if one.fault in ("bad_row", "duplicate")]
        assert found.accepted + len(refused) <= len(rows)
        if len(set(map(str, rows))) == len(rows):
            assert found.accepted + len(refused) == len(rows)
