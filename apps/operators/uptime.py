"""Hours online, for reputation: who was online for how long, by the nodes' own histories."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from apps.core import parameters
from apps.operators import node_uptime, reputation
from apps.operators.models import Node, NodeEvent, NodeStatus, ReputationChange, ReputationKind

HOUR = timedelta(hours=1)
# Hours that a beat which was away makes up for.
MOST_HOURS = 6
Moment = tuple[datetime, str, str]


def online_seconds(start: datetime, end: datetime) -> dict[str, float]:
    """Seconds for which each node was online between two times; nodes that never were are left out. Two queries."""
    moments: dict[str, list[Moment]] = defaultdict(list)
    rows = NodeEvent.objects.filter(at__gte=start).order_by("id").values_list("node_id", "at", "old", "new")
    for node_id, at, old, new in rows:
        moments[node_id].append((at, old, new))
    found: dict[str, float] = {}
    for node in Node.objects.not_revoked().filter(enrolled_at__lt=end):
        spans = node_uptime.spans(moments[node.pk], node, start, end)
        seconds = sum(span.seconds for span in spans if span.status == NodeStatus.ONLINE)
        if seconds > 0:
            found[node.pk] = seconds
    return found


def credit_hours(now: datetime) -> int:
    """Count the last whole hours for nodes that were online through them, each hour once; returns how many counted."""
    this_hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return sum(credit_hour(this_hour - n * HOUR, now) for n in range(MOST_HOURS, 0, -1))


def credit_hour(start: datetime, now: datetime) -> int:
    """Count one hour; a node that had its most for the day gets nothing more."""
    least = HOUR.total_seconds() * parameters.get("reputation.uptime_least_percent") / 100
    key = f"uptime:{start:%Y-%m-%dT%H}"
    counted = set(ReputationChange.objects.filter(key=key).values_list("node_id", flat=True))
    counted |= _had_enough(start)
    online = [node_id for node_id, seconds in online_seconds(start, start + HOUR).items() if seconds >= least]
    made = [
        reputation.record(node_id, ReputationKind.UPTIME, now, f"{start:%H}:00 UTC", key)
        for node_id in sorted(set(online) - counted)
    ]
    return sum(score is not None for score in made)


def _had_enough(start: datetime) -> set[str]:
    """Nodes whose day has as many counted hours as a day may."""
    hours: dict[str, int] = defaultdict(int)
    of_day = ReputationChange.objects.filter(key__startswith=f"uptime:{start:%Y-%m-%d}T").values_list(
        "node_id", flat=True
    )
    for node_id in of_day:
        hours[node_id] += 1
    return {node_id for node_id, count in hours.items() if count >= parameters.get("reputation.uptime_max_day")}


def decay_all(now: datetime) -> int:
    """Decay every node's score for this UTC day; once a day whoever asks how often. Returns how many."""
    day = f"{now.astimezone(UTC):%Y-%m-%d}"
    done = ReputationChange.objects.filter(key=f"decay:{day}").values_list("node_id", flat=True)
    due = Node.objects.not_revoked().exclude(pk__in=done).order_by("pk").values_list("pk", flat=True)
    return sum(reputation.decay(node_id, day, now) is not None for node_id in list(due))
