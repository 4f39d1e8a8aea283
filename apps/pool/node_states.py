"""Turning facts into a node's states. Only the dispatcher and a person's own action get here."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import DataError, IntegrityError, InterfaceError, OperationalError, connection, transaction
from redis.exceptions import RedisError

from apps.core import parameters
from apps.core.errors import MeshError
from apps.operators import bans
from apps.operators.models import NODE_TRANSITIONS, Node, NodeStatus
from apps.pool import broker, classes, hints, leases, presence, self_tests
from apps.pool.models import Task
from apps.pool.presence import Heard
from workers.protocol.clock import from_unix_ms, unix_ms
from workers.protocol.envelope import SKEW_MS

logger = logging.getLogger(__name__)
MISSED = "It has missed heartbeats."
CLOSED = "Its connection closed."
CLOCK = "Its clock is more than 30 seconds off."
SILENT = "It has not been heard from."
STOPPED = "Its operator stopped it."
DRAINED_ITSELF = "It takes no new tasks, by its own word."
RESUME = "Run `mesh node resume` on the machine when it should work again."
START = "Run `mesh node run` on the machine."
CHECK = "Check the machine and its network; it comes back by itself."
# What a node says of itself when its owner keeps it from work: the reason, and what may be done about it.
HELD = {
    "paused": ("Its owner has paused it.", "Resume it here, or run `mesh node resume` on the machine."),
    "quiet_hours": ("It keeps its quiet hours.", "It takes tasks again by itself."),
    "memory_cap": (
        "Its memory has reached the cap that its owner set.",
        "It takes tasks again by itself; or raise the cap.",
    ),
    "power_cap": ("It draws more power than its owner allows.", "It takes tasks again by itself; or raise the cap."),
    "power_unmeasured": (
        "Its owner caps its power, and the machine does not say what it draws.",
        "Take the power cap away, or let the agent read the meter.",
    ),
}
OWN_WILL = {DRAINED_ITSELF, *(reason for reason, _ in HELD.values())}
# States that a node leaves by being heard from again; other reasons need more than that.
PASSING = {MISSED, CLOSED, CLOCK}
ENDED = (NodeStatus.OFFLINE, NodeStatus.SUSPENDED, NodeStatus.REVOKED)
WORKING = (NodeStatus.ONLINE, NodeStatus.SELF_TEST)
# No node's fault, and over by itself.
OUTAGES = (OperationalError, InterfaceError, RedisError, OSError)

# One UPDATE for all; an older heartbeat never replaces a newer one.
_FLUSH = """
UPDATE operators_node n
SET last_seen_at = greatest(n.last_seen_at, to_timestamp(v.at / 1000.0)), sent_at_ms = v.sent_at, load = v.load,
    free_slots = v.slots, memory_free_mb = v.memory_free_mb, running = v.running, clock_offset_ms = v.sent_at - v.at,
    limits_reported = v.limits,
    transport = CASE WHEN n.transport = 'http' AND v.transport = 'celery' THEN 'celery' ELSE n.transport END
FROM jsonb_to_recordset(%s::jsonb)
    AS v(id text, at bigint, sent_at bigint, load int, slots jsonb, memory_free_mb int, running jsonb, limits jsonb,
         transport text)
JOIN operators_node o ON o.id = v.id
WHERE n.id = v.id AND n.sent_at_ms < v.sent_at
RETURNING n.id, n.status, n.served_models::text, o.limits_reported IS DISTINCT FROM v.limits
"""


def _write(rows: list[dict[str, Any]]) -> list[tuple[str, str, str, bool]]:
    """The rows written: id, status, served models as text, and whether the limits of the node's own are others."""
    with connection.cursor() as cursor:
        cursor.execute(_FLUSH, [json.dumps(rows)])
        return list(cursor.fetchall())


def flush(beats: Mapping[str, Heard], now: datetime) -> None:
    """Write heartbeats to their nodes, and move those whose state they change."""
    if not beats:
        return
    fields = ("at", "sent_at", "load", "slots", "memory_free_mb", "running", "limits", "transport")
    rows = [{"id": node, **{name: getattr(beat, name) for name in fields}} for node, beat in beats.items()]
    written: list[tuple[str, str, str, bool]] = []
    try:
        written += _write(rows)
    except (DataError, IntegrityError):
        # One row that the database cannot keep costs itself only, or all other nodes would seem silent.
        for row in rows:
            with for_itself(row["id"]):
                written += _write([row])
    capped = {node for node, _, _, other_limits in written if other_limits}
    changed = [node for node, status, served, _ in written if not _steady(beats[node], status, json.loads(served))]
    for node in _nodes({*changed, *capped}):
        with for_itself(node.pk):
            if node.pk in capped:
                classes.refresh_node(node, now)
            heard(node, beats[node.pk], now)


@contextmanager
def for_itself(subject: str) -> Iterator[None]:
    """What one node has wrong is logged and stops nobody else's work; an outage goes on to the caller."""
    try:
        yield
    except OUTAGES:
        raise
    except (MeshError, DataError, IntegrityError) as error:
        logger.warning("A node was passed over", extra={"subject": subject, "error": str(error)[:300]})
    except Exception:
        # Nobody foresaw it, and a process that ends over one node would meet it again at each start.
        logger.exception("A node was passed over", extra={"subject": subject})


def _steady(beat: Heard, status: str, served: list[str]) -> bool:
    same = status == NodeStatus.ONLINE and beat.models == served
    return same and not beat.draining and abs(beat.clock_offset_ms) <= SKEW_MS


def _nodes(ids: Iterable[str]) -> list[Node]:
    return list(Node.objects.filter(pk__in=list(ids)).select_related("operator__user"))


def heard(node: Node, beat: Heard, now: datetime) -> None:
    """A heartbeat came from a node that is not simply online."""
    if node.status in {NodeStatus.SUSPENDED, NodeStatus.REVOKED}:
        return
    classes.set_served(node, beat.models, now)
    if beat.draining:
        drain_itself(node, beat, now)
    elif node.status == NodeStatus.DRAINING:
        if node.reason in OWN_WILL:
            come_back(node, now)
        else:
            presence.tell(node.pk, "control.drain", {}, now)
    elif abs(beat.clock_offset_ms) > SKEW_MS:
        suspect(node, CLOCK, "Set the machine's clock, by NTP for instance.", now)
    elif node.disconnected_at is None or from_unix_ms(beat.at) > node.disconnected_at:
        arrive(node, now, fresh=False)


def come_back(node: Node, now: datetime) -> None:
    """The node takes tasks again, by its own word; one that was never found good is tested first."""
    if node.self_test_passed_at is None:
        self_tests.start(node, now)
        return
    node.move(NodeStatus.ONLINE, "", "", now)
    classes.refresh_node(node, now)
    hints.wake()


def drain_itself(node: Node, beat: Heard, now: datetime) -> None:
    """The node wants no new tasks. What it said before its state changed is old news."""
    status = NodeStatus(node.status)
    if beat.at < unix_ms(node.status_at) or status == NodeStatus.OFFLINE:
        return
    reason, next_step = why_held(beat)
    if NodeStatus.DRAINING in NODE_TRANSITIONS[status]:
        node.move(NodeStatus.DRAINING, reason, next_step, now)
    elif status == NodeStatus.DRAINING and node.reason in OWN_WILL and node.reason != reason:
        # Another reason is no other state.
        Node.objects.filter(pk=node.pk, status=status, reason=node.reason).update(reason=reason, next_step=next_step)


def why_held(beat: Heard) -> tuple[str, str]:
    """Why a node takes nothing, by its own word, and what comes next."""
    if not beat.held:
        return DRAINED_ITSELF, RESUME
    reason, next_step = HELD[beat.held[0]]
    until = f" This ends at {from_unix_ms(beat.held_until):%Y-%m-%d %H:%M} UTC." if beat.held_until else ""
    return reason, next_step + until


def arrive(node: Node, now: datetime, *, fresh: bool) -> None:
    """A node is here: back to online, or to its self-test if it never passed one. `fresh`: it has just connected."""
    status, passed = NodeStatus(node.status), node.self_test_passed_at is not None
    back = status == NodeStatus.OFFLINE or (status == NodeStatus.DEGRADED and node.reason in PASSING)
    retried = status == NodeStatus.DEGRADED and fresh and not passed
    if back and passed:
        node.move(NodeStatus.ONLINE, "", "", now)
        classes.refresh_node(node, now)
        hints.wake()
    elif back or retried or status == NodeStatus.PENDING:
        self_tests.start(node, now)


def connected(node_id: str, hello: Mapping[str, Any], now: datetime) -> None:
    """A node's socket opened, with the body of its hello."""
    values = {"connected": True, "disconnected_at": None, "last_seen_at": now}
    Node.objects.filter(pk=node_id).update(**values)
    for node in _nodes([node_id]):
        if node.status in {NodeStatus.SUSPENDED, NodeStatus.REVOKED}:
            return
        classes.set_served(node, list(hello["models"]), now)
        if node.status == NodeStatus.DRAINING:
            return
        arrive(node, now, fresh=True)


def disconnected(node_id: str, at_ms: int, now: datetime) -> None:
    """A node's socket closed: it gets no new work until it is heard from again."""
    Node.objects.filter(pk=node_id, connected=True).update(connected=False, disconnected_at=from_unix_ms(at_ms))
    for node in _nodes([node_id]):
        suspect(node, CLOSED, CHECK, now)


def gave_up(node_id: str, now: datetime) -> None:
    """The grace for a reconnection is over: what the node held goes to others."""
    take_back(node_id, "Its node's connection closed.", now)
    for node in _nodes([node_id]):
        if node.status == NodeStatus.DRAINING and node.reason in OWN_WILL:
            node.move(NodeStatus.OFFLINE, STOPPED, START, now)


def suspect(node: Node, reason: str, next_step: str, now: datetime) -> None:
    """A node that should work gives cause for doubt."""
    if node.status in WORKING:
        node.move(NodeStatus.DEGRADED, reason, next_step, now)


def sweep_silent(now: datetime) -> None:
    """Nodes that have missed heartbeats: in doubt after some, offline after more, and then their work is taken back."""
    interval = parameters.get("pool.heartbeat_s")
    doubtful = now - timedelta(seconds=interval * parameters.get("pool.suspect_misses"))
    lost = now - timedelta(seconds=interval * parameters.get("pool.offline_misses"))
    living = Node.objects.living().select_related("operator__user")
    for node in living.filter(last_seen_at__lt=lost):
        with for_itself(node.pk):
            if node.move(NodeStatus.OFFLINE, SILENT, START, now, connected=False):
                take_back(node.pk, "Its node was not heard from.", now)
    for node in living.filter(last_seen_at__lt=doubtful, status__in=WORKING):
        with for_itself(node.pk):
            suspect(node, MISSED, CHECK, now)


def sweep_degraded(now: datetime) -> None:
    """Nodes that failed their self-test and are still there are tested again after a while."""
    interval = parameters.get("pool.heartbeat_s") * parameters.get("pool.suspect_misses")
    waited, heard_lately = now - timedelta(seconds=parameters.get("pool.retest_s")), now - timedelta(seconds=interval)
    failed = Node.objects.filter(status=NodeStatus.DEGRADED, self_test_passed_at=None, status_at__lte=waited)
    for node in (
        failed.filter(last_seen_at__gte=heard_lately).exclude(reason__in=PASSING).select_related("operator__user")
    ):
        with for_itself(node.pk):
            self_tests.start(node, now)


def limited(node_id: str, limits: Mapping[str, Any], now: datetime) -> None:
    """An owner has set a node's limits: tell it, and see anew what it can take."""
    for node in _nodes([node_id]):
        classes.refresh_node(node, now)
    presence.tell(node_id, "control.limits", {"limits": dict(limits)}, now)


def sweep_ended(now: datetime) -> None:
    """Nodes that may not work hold nothing, and a revoked one has no account, whoever ended them and whenever."""
    holding = Task.objects.held().filter(node__status__in=ENDED).values_list("node", flat=True).distinct()
    for node_id in list(holding):
        take_back(node_id, "Its node is out of the network.", now)
    revoked = Node.objects.filter(status=NodeStatus.REVOKED).exclude(broker_sha256="").values_list("pk", "reason")
    for node_id, reason in list(revoked):
        broker.revoke(node_id)
        presence.tell(node_id, "control.revoked", {"reason": reason}, now)
        Node.objects.filter(pk=node_id).update(broker_sha256="")


def take_back(node_id: str, reason: str, now: datetime) -> None:
    """What the node holds goes back into the queue; what it has not fetched is deleted."""
    released = leases.release_node(node_id, reason, now)
    try:
        broker.purge(node_id)
    except RedisError as error:
        logger.warning("Queues were not purged", extra={"node": node_id, "error": str(error)[:200]})
    if released:
        with transaction.atomic():
            hints.wake()
        logger.info("Work was taken back", extra={"node": node_id, "tasks": released, "reason": reason})


def followed(node_id: str, status: NodeStatus, now: datetime) -> None:
    """Somebody has changed a node's state: tell it, and wake the dispatcher. The sweeps do the rest."""
    told: dict[NodeStatus, tuple[str, dict[str, Any]]] = {
        NodeStatus.DRAINING: ("control.drain", {}),
        NodeStatus.ONLINE: ("control.resume", {}),
        NodeStatus.REVOKED: ("control.revoked", {"reason": "The node was revoked."}),
    }
    if status in told:
        presence.tell(node_id, *told[status], now)
    hints.wake()


def ban_changed(node_id: str, notice: bans.Notice | None, now: datetime) -> None:
    """A ban began or ended for a node: tell it. Its next heartbeat would tell it as well, and its work is swept up."""
    if notice is None:
        presence.tell(node_id, "control.unbanned", {}, now)
    else:
        presence.tell(node_id, "control.banned", notice.as_dict(), now)
        presence.hang_up(node_id)
    hints.wake()
