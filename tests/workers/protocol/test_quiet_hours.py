"""Quiet hours by the clock on the wall: over midnight, over weekends, and when the clock is changed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocol.quiet_hours import ends_at, is_quiet, parse, parse_all, zone_of

BERLIN = ZoneInfo("Europe/Berlin")


def local(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


def quiet(text: str, moment: datetime, zone: ZoneInfo | None = BERLIN) -> bool:
    return is_quiet([parse(text)], zone, moment)


def test_a_night_reaches_over_midnight() -> None:
    seen = [quiet("22:00-07:00", local(f"2026-05-06 {at}")) for at in ("21:59", "22:00", "00:00", "06:59", "07:00")]
    assert seen == [False, True, True, True, False]


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    # 2026-05-08 is a Friday.
    friday = "fri 22:00-07:00"
    assert quiet(friday, local("2026-05-08 23:00"))
    assert quiet(friday, local("2026-05-09 06:59"))
    assert not quiet(friday, local("2026-05-08 06:00"))
    assert not quiet(friday, local("2026-05-09 22:30"))


def test_a_weekend_and_days_that_wrap_around_the_week() -> None:
    assert quiet("sat-sun 00:00-24:00", local("2026-05-10 23:59"))
    assert not quiet("sat-sun 00:00-24:00", local("2026-05-11 00:00"))
    assert parse("fri-mon 01:00-02:00").days == {4, 5, 6, 0}
    assert parse("mon,wed 01:00-02:00").days == {0, 2}


def test_the_zone_decides_and_not_the_machine() -> None:
    moment = datetime(2026, 5, 6, 21, 30, tzinfo=UTC)
    assert quiet("22:00-07:00", moment, BERLIN)
    assert not quiet("22:00-07:00", moment, ZoneInfo("UTC"))
    assert zone_of("") is None


def test_quiet_hours_move_along_with_summer_time() -> None:
    # On 2026-03-29 Berlin goes from 01:59:59 to 03:00; on 2026-10-25 from 02:59:59 back to 02:00.
    assert ends_at([parse("22:00-07:00")], BERLIN, local("2026-03-28 23:00")) == datetime(2026, 3, 29, 5, tzinfo=UTC)
    assert ends_at([parse("22:00-07:00")], BERLIN, local("2026-10-24 23:00")) == datetime(2026, 10, 25, 6, tzinfo=UTC)
    # The hour that the clock skips is not waited for; the one that it shows twice is quiet twice.
    assert ends_at([parse("01:00-02:30")], BERLIN, local("2026-03-29 01:30")) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    twice = [is_quiet([parse("02:00-03:00")], BERLIN, local("2026-10-25 02:30", fold=fold)) for fold in (0, 1)]
    assert twice == [True, True]


def test_quiet_for_the_whole_week_has_no_end_and_no_quiet_ends_never() -> None:
    now = local("2026-05-06 12:00")
    assert ends_at([parse("00:00-24:00")], BERLIN, now) is None
    assert ends_at([parse("22:00-07:00")], BERLIN, now) is None
    assert not is_quiet([], BERLIN, now)


def test_touching_times_end_together() -> None:
    times = parse_all(["22:00-24:00", "00:00-06:00"])
    assert ends_at(times, BERLIN, local("2026-05-06 22:30")) == local("2026-05-07 06:00")


@pytest.mark.parametrize(
    "text",
    ["", "22-07", "22:00", "24:00-07:00", "22:60-07:00", "22:00-24:01", "07:00-07:00", "xyz 22:00-07:00",
     "mon- 22:00-07:00", "22:00-07:00 mon", "montag 22:00-07:00"],
)  # fmt: skip
def test_what_no_clock_shows_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ValueError, match="'"):
        parse(text)


def test_too_many_times_and_unknown_zones_are_refused() -> None:
    with pytest.raises(ValueError, match="up to 20"):
        parse_all(["22:00-07:00"] * 21)
    for name in ("Europe/Nowhere", "../etc/passwd", "/etc/localtime", "x" * 300):
        with pytest.raises(ValueError, match="zone"):
            zone_of(name)


@given(
    start=st.integers(0, 1439),
    end=st.integers(1, 1440),
    zone=st.sampled_from(["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    minute=st.integers(0, 365 * 24 * 60),
)
def test_an_end_is_the_first_minute_that_is_not_quiet(start: int, end: int, zone: str, minute: int) -> None:
    if start == end:
        return
    window = parse(f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}")
    at, place = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute), ZoneInfo(zone)
    over = ends_at([window], place, at)
    if over is None:
        assert not is_quiet([window], place, at) or end - start == 1440
    else:
        assert not is_quiet([window], place, over)
        assert is_quiet([window], place, over - timedelta(minutes=1))
        assert over - at <= timedelta(days=1, hours=2)
