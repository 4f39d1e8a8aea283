"""Reputation: a score from 0 to 100 for each node, moved by what it does, decaying, with a line for each change.

Below one bound a node is served after others, below the next it gets no work, below the last it is suspended; each
with a reason and a way back. The score is kept in hundredths of a point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import events, parameters
from apps.core.models import Event
from apps.operators import mail
from apps.operators.models import NODE_TRANSITIONS, Node, NodeStatus, ReputationChange, ReputationKind

FULL = 100
RECENT = 10
LOST = "node.trust_lost"
TELL_AGAIN = timedelta(days=1)
MOST_DETAIL = 200
# Sign of each kind; how much it counts is a parameter of the same name.
SIGNS = {
    ReputationKind.SUCCESS: 1,
    ReputationKind.FAILED: -1,
    ReputationKind.ABANDONED: -1,
    ReputationKind.UPTIME: 1,
    ReputationKind.SHARD_HOSTED: 1,
    ReputationKind.SHARD_DROPPED: -1,
    ReputationKind.VOTE: 1,
    ReputationKind.VIOLATION: -1,
}
SUSPENDED = "Its reputation is used up."
SUSPENDED_NEXT = "Ask the network's admins to let it back; say what you have changed."
# A line for each detail, one after another. A repeated key, and work that cannot raise a full score, change nothing and
# leave no line.
_MOVE = """
WITH held AS MATERIALIZED (
    SELECT id, reputation * 100 + reputation_rest AS score FROM operators_node
    WHERE id = %(node)s AND status <> 'revoked'
      AND NOT (reputation = 100 AND %(change)s >= 0 AND %(factor)s >= 10000 AND %(key)s::text IS NULL)
    FOR NO KEY UPDATE
), moved AS (
    SELECT id, score AS first, nr, detail,
           least(10000, greatest(%(floor)s, (score * %(factor)s + 5000) / 10000 + %(change)s * nr)) AS score
    FROM held CROSS JOIN unnest(%(details)s::text[]) WITH ORDINALITY AS told (detail, nr)
), steps AS (
    SELECT id, nr, detail, score, score - lag(score, 1, first::bigint) OVER (ORDER BY nr) AS change FROM moved
), line AS (
    INSERT INTO operators_reputationchange (node_id, at, kind, change, score, detail, key)
    SELECT id, %(now)s, %(kind)s, change, score, detail, %(key)s FROM steps
    WHERE change <> 0 OR %(key)s::text IS NOT NULL
    ORDER BY nr
    ON CONFLICT (node_id, key) DO NOTHING
    RETURNING node_id, change
), whole AS (
    SELECT held.id, held.score AS old, held.score + sum(line.change) AS score
    FROM held JOIN line ON line.node_id = held.id GROUP BY held.id, held.score
)
UPDATE operators_node n SET reputation = div(whole.score, 100), reputation_rest = mod(whole.score, 100)
FROM whole WHERE n.id = whole.id
RETURNING whole.old, whole.score
"""


@dataclass(frozen=True)
class Level:
    """What a score means: `code` is full, low, idle or out; `below` is the bound in points."""

    code: str
    below: int
    effect: str | Promise
    way_back: str | Promise


def levels() -> list[Level]:
    """The levels as governed now, the worst first."""
    return [
        Level(
            "out",
            parameters.get("reputation.member_below"),
            gettext_lazy("It is out of the network."),
            gettext_lazy("An admin can let it back; say what you have changed."),
        ),
        Level(
            "idle",
            parameters.get("reputation.work_below"),
            gettext_lazy("It gets no work but self-tests."),
            gettext_lazy("Leave it running: each hour online raises the score, and work comes back with it."),
        ),
        Level(
            "low",
            parameters.get("reputation.priority_below"),
            gettext_lazy("It gets work after nodes with a better score."),
            gettext_lazy("Accepted results and hours online raise the score."),
        ),
        Level("full", FULL + 1, gettext_lazy("It gets work like every other node."), ""),
    ]


def level_of(score: int) -> Level:
    """The level of a score in hundredths of a point."""
    return next(level for level in levels() if score < 100 * level.below)


@transaction.atomic
def record(node_id: str, kind: str, now: datetime, detail: str = "", key: str | None = None) -> int | None:
    """Move a node's score by its kind; returns the new one in hundredths, None where nothing changed.

    `key` makes it count once a node. Raises ValueError for a kind that the table does not have.
    """
    return _move(node_id, kind, {"change": _change(kind), "details": [detail], "key": key}, now)


@transaction.atomic
def record_all(node_id: str, kind: str, now: datetime, details: Sequence[str]) -> int | None:
    """Move a node's score by its kind once for each detail, as `record` does."""
    return _move(node_id, kind, {"change": _change(kind), "details": details}, now) if details else None


def _change(kind: str) -> int:
    """By how many hundredths of a point a kind moves a score."""
    sign = SIGNS.get(ReputationKind(kind))
    if sign is None:
        raise ValueError(f"{kind} is not recorded")
    return sign * 100 * int(parameters.get(f"reputation.{kind}"))


def decay(node_id: str, day: str, now: datetime) -> int | None:
    """Multiply a node's score by the daily factor, once a day (`day` as 2026-03-01)."""
    factor = int(parameters.get("reputation.decay_bp"))
    with transaction.atomic():
        return _move(node_id, ReputationKind.DECAY, {"factor": factor, "key": f"decay:{day}"}, now)


def restore(node_id: str, detail: str, now: datetime) -> int | None:
    """Raise a score that is used up to where a node gets work again; for an admin who lets it back."""
    least = 100 * (int(parameters.get("reputation.work_below")) + int(parameters.get("reputation.restored_above")))
    with transaction.atomic():
        return _move(node_id, ReputationKind.REINSTATED, {"floor": least, "details": [detail]}, now)


def take_back(node_id: str, key: str, now: datetime, detail: str) -> int | None:
    """Undo, once, what was recorded under a key; returns the new score in hundredths, None where nothing changed."""
    with transaction.atomic():
        line = ReputationChange.objects.filter(node=node_id, key=key).first()
        if line is None:
            return None
        how = {"change": -line.change, "details": [detail], "key": f"back:{key}"}
        return _move(node_id, ReputationKind.REINSTATED, how, now)


def _move(node_id: str, kind: str, how: dict[str, Any], now: datetime) -> int | None:
    values: dict[str, Any] = {
        "node": node_id,
        "kind": str(kind),
        "now": now,
        "factor": 10_000,
        "change": 0,
        "floor": 0,
        "key": None,
        **how,
    }
    values["details"] = [detail[:MOST_DETAIL] for detail in how.get("details", [""])]
    with connection.cursor() as cursor:
        cursor.execute(_MOVE, values)
        row = cursor.fetchone()
    if row is None:
        return None
    before, after = map(int, row)
    if level_of(after).below < level_of(before).below:
        _lose(node_id, after, now)
    return after


def _lose(node_id: str, score: int, now: datetime) -> None:
    """A node has fallen to a worse level: say so once, and suspend it where nothing is left."""
    node = Node.objects.select_related("operator__user").get(pk=node_id)
    level = level_of(score)
    data = {"level": level.code, "score": score / 100}
    topics = ["network", f"node.{node_id}", f"user.{node.operator.user_id}"]
    event = events.emit(LOST, subject=node_id, topics=topics, data=data, now=now)
    # A score that wavers about a bound is told of once a day.
    told_lately = Event.objects.filter(
        kind=LOST, subject=node_id, data__level=level.code, at__gt=now - TELL_AGAIN, pk__lt=event.pk
    )
    if not told_lately.exists():
        told = {"node": node, "score": f"{score / 100:g}", "effect": level.effect, "way_back": level.way_back}
        mail.notify(node.operator.user, "node_trust_lost", told, now)
    if level.code == "out" and NodeStatus.SUSPENDED in NODE_TRANSITIONS[NodeStatus(node.status)]:
        node.move(NodeStatus.SUSPENDED, SUSPENDED, SUSPENDED_NEXT, now)


def table() -> list[tuple[str, str]]:
    """What moves a score, and by how many points, as governed now."""
    rows = [
        (str(ReputationKind(kind).label), f"{sign * int(parameters.get(f'reputation.{kind}')):+d}")
        for kind, sign in SIGNS.items()
    ]
    factor = int(parameters.get("reputation.decay_bp"))
    return [*rows, (str(ReputationKind.DECAY.label), f"x {factor / 10_000:g}")]


def context(node: Node) -> dict[str, Any]:
    """A node's score, what it means, how back, and its newest changes; for its page."""
    score = 100 * node.reputation + node.reputation_rest
    level = level_of(score)
    return {
        "reputation": {
            "score": f"{score / 100:g}",
            "value": node.reputation,
            "level": level,
            "is_full": level.code == "full",
            "reason": _("Its reputation is %(score)s of 100, below %(below)d. %(effect)s")
            % {"score": f"{score / 100:g}", "below": level.below, "effect": level.effect},
            "recent": list(ReputationChange.objects.filter(node=node)[:RECENT]),
        }
    }
