"""A node's time by states, from its own history: shares that are true, and gaps that are shown as gaps."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.operators.models import Node, NodeStatus

WINDOWS: tuple[tuple[str | Promise, timedelta], ...] = (
    (_("24 hours"), timedelta(hours=24)),
    (_("7 days"), timedelta(days=7)),
    (_("30 days"), timedelta(days=30)),
)
# Nothing is known of a node before it was enrolled, and while the platform itself was away.
UNKNOWN = ""
WIDTH = 1000
Gap = tuple[datetime, datetime]

# Every slot has its block while the platform is there, so a pair of blocks with more than three slots between them says
# that it was not.
_GAPS = """
SELECT before, at FROM (
    SELECT sealed_at AS at, lag(sealed_at) OVER (ORDER BY height) AS before FROM ledger_block WHERE sealed_at >= %s
) pairs
WHERE at - before > make_interval(secs => %s) ORDER BY at
"""


@dataclass(frozen=True)
class Span:
    """A time in one state; an empty state is a gap."""

    start: datetime
    end: datetime
    status: str

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class Strip:
    """One window: its bars for a drawing that is 1000 wide, the part of the known time online, and all parts."""

    label: str | Promise
    bars: list[dict[str, Any]]
    online: str
    parts: list[tuple[str, str]]
    known: timedelta


def strips(node: Node, now: datetime) -> list[Strip]:
    """The strips of all windows; three queries."""
    longest = now - WINDOWS[-1][1]
    events = node.events.filter(at__gte=longest).order_by("id").values_list("at", "old", "new")
    history = spans([(at, old, new) for at, old, new in events], node, longest, now)
    history = without(history, away(longest, now))
    return [strip(label, clipped(history, now - length, now), now - length, now) for label, length in WINDOWS]


def spans(events: Sequence[tuple[datetime, str, str]], node: Node, start: datetime, end: datetime) -> list[Span]:
    """The node's states between two moments, without a gap but the time before it was enrolled."""
    status = events[0][1] if events else node.status
    since = max(start, min(node.enrolled_at, end))
    found = [Span(start, since, UNKNOWN)] if since > start else []
    for at, _old, new in events:
        until = min(max(at, since), end)
        if until > since:
            found.append(Span(since, until, status or NodeStatus.PENDING))
        status, since = new, until
    return [*found, Span(since, end, status)] if end > since else found


def away(start: datetime, now: datetime) -> list[Gap]:
    """When the platform itself was away, by blocks that are missing: what nodes did then nobody knows."""
    longest = timedelta(seconds=max(3 * settings.BLOCK_SECONDS, 60))
    with connection.cursor() as cursor:
        cursor.execute(_GAPS, [start, longest.total_seconds()])
        gaps = [(before, at) for before, at in cursor.fetchall()]
        cursor.execute("SELECT sealed_at FROM ledger_block WHERE height > 0 ORDER BY height DESC LIMIT 1")
        last = cursor.fetchone()
    return [*gaps, (last[0], now)] if last and now - last[0] > longest else gaps


def without(history: Iterable[Span], gaps: Sequence[Gap]) -> list[Span]:
    """The same time, with what nobody knows taken out of its states."""
    found = list(history)
    for begin, over in gaps:
        cut: list[Span] = []
        for span in found:
            first, last = max(span.start, begin), min(span.end, over)
            if last <= first:
                cut.append(span)
                continue
            parts = ((span.start, first, span.status), (first, last, UNKNOWN), (last, span.end, span.status))
            cut += [Span(a, b, status) for a, b, status in parts if b > a]
        found = cut
    return found


def clipped(history: Iterable[Span], start: datetime, end: datetime) -> list[Span]:
    """What of it lies between two moments."""
    cut = (Span(max(span.start, start), min(span.end, end), span.status) for span in history)
    return [span for span in cut if span.end > span.start]


def strip(label: str | Promise, history: Sequence[Span], start: datetime, end: datetime) -> Strip:
    """The drawing of a window and its shares. A share is of the known time, and rounded down: 100 % is all of it."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for span in history:
        seconds[span.status] += span.seconds
    whole = sum(seconds.values())
    known = whole - seconds.get(UNKNOWN, 0.0)
    scale = WIDTH / (end - start).total_seconds()
    bars = [
        {
            "x": round((span.start - start).total_seconds() * scale, 2),
            "width": round(span.seconds * scale, 2),
            "status": span.status,
        }
        for span in history
        if span.status != UNKNOWN
    ]
    order = sorted((status for status in seconds if status != UNKNOWN), key=lambda status: -seconds[status])
    parts = [(status, percent(seconds[status], known)) for status in order]
    if known < whole:
        parts.append(("no data", percent(whole - known, whole)))
    online = percent(seconds.get(NodeStatus.ONLINE, 0.0), known) if known else ""
    return Strip(label, bars, online, parts, timedelta(seconds=round(known)))


def percent(part: float, whole: float) -> str:
    """Such as 99.98 %; never rounded up."""
    return f"{floor(10_000 * part / whole) / 100:.2f} %"
