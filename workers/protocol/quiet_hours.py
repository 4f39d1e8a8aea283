"""Quiet hours: times of the week, by the clock on somebody's wall, in which a node takes no tasks.

`22:00-07:00` is every night, `sat-sun 00:00-24:00` the weekend, `mon,wed 09:00-17:30` two days; a day is the one on
which the time begins. The wall's clock decides, so summer time moves them along with everybody's day.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60
FORM = re.compile(r"(?:([a-z,-]+) )?(\d{2}):(\d{2})-(\d{2}):(\d{2})")
MOST = 20
LOOK_AHEAD_MINUTES = 8 * DAY


@dataclass(frozen=True)
class Window:
    """One time: the weekdays on which it begins (Monday is 0), its first minute and the one after its last."""

    days: frozenset[int]
    start: int
    end: int

    def covers(self, weekday: int, minute: int) -> bool:
        """Whether a minute of a weekday lies in it."""
        if self.start < self.end:
            return weekday in self.days and self.start <= minute < self.end
        return (weekday in self.days and minute >= self.start) or ((weekday - 1) % 7 in self.days and minute < self.end)


def parse(text: str) -> Window:
    """One time. Raises ValueError that says what is wrong."""
    found = FORM.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is not a time such as 22:00-07:00 or sat-sun 00:00-24:00.")
    hours = [int(digits) for digits in found.groups()[1:]]
    start, end = 60 * hours[0] + hours[1], 60 * hours[2] + hours[3]
    if max(hours[1], hours[3]) > 59 or start >= DAY or end > DAY:
        raise ValueError(f"{text!r} has a time that no clock shows.")
    if start == end:
        raise ValueError(f"{text!r} begins when it ends; the whole day is 00:00-24:00.")
    return Window(frozenset(_days(found[1] or "mon-sun", text)), start, end)


def _days(words: str, text: str) -> set[int]:
    days: set[int] = set()
    for word in words.split(","):
        first, dash, last = word.partition("-")
        last = last if dash else first
        if first not in DAYS or last not in DAYS:
            raise ValueError(f"{text!r} names a day that is none of {', '.join(DAYS)}.")
        begin = DAYS.index(first)
        days |= {(begin + n) % 7 for n in range((DAYS.index(last) - begin) % 7 + 1)}
    return days


def parse_all(texts: Sequence[str]) -> list[Window]:
    """All times. Raises ValueError for the first that is wrong, or where there are too many."""
    if len(texts) > MOST:
        raise ValueError(f"There are up to {MOST} times.")
    return [parse(text) for text in texts]


def zone_of(name: str) -> ZoneInfo | None:
    """The zone of that name; None, for the machine's own, where the name is empty. Raises ValueError."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone; zones are named like Europe/Berlin.") from error


def is_quiet(windows: Sequence[Window], zone: ZoneInfo | None, at: datetime) -> bool:
    """Whether the moment lies in one of the times."""
    local = at.astimezone(zone)
    return any(window.covers(local.weekday(), 60 * local.hour + local.minute) for window in windows)


def ends_at(windows: Sequence[Window], zone: ZoneInfo | None, at: datetime) -> datetime | None:
    """When the quiet that holds at `at` ends, to the minute; None where it holds for the whole week, or not at all."""
    if not is_quiet(windows, zone, at):
        return None
    minute = at.replace(second=0, microsecond=0)
    ahead = (minute + timedelta(minutes=n) for n in range(1, LOOK_AHEAD_MINUTES))
    return next((moment for moment in ahead if not is_quiet(windows, zone, moment)), None)
