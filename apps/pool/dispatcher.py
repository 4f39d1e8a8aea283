"""The dispatcher's process: one round a second and upon each hint, by one process at a time, whatever fails."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from redis.exceptions import RedisError

from apps.core import parameters
from apps.core.errors import MeshError
from apps.pool import broker, dispatch, hints, node_states, presence
from apps.pool.leases import Reaper
from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.errors import ProtocolError

logger = logging.getLogger(__name__)
LOCK = 0x6D657368
TICK_S = 1.0
SOON_S = 0.25
GAP_S = 10
# Rounds follow every hint, many a second; the sweeps need no more than this.
SWEEP = timedelta(milliseconds=500)
WELL_S = 10
GATEWAY_DEAD_MS = 5_000
# Rounds in which a close that cannot be acted on is tried.
TRIES = 5
BACK_OFF_S = (0.5, 5.0)
FAULTS = (DatabaseError, InterfaceError, psycopg.Error, RedisError, OSError, MeshError, ProtocolError)
# How often each chore is due, in seconds.
FLUSH_S, BROKER_S, HEALTH_S = 2.0, 5.0, 5.0


def node_api_answers() -> bool:
    """Whether nodes can be heard at all."""
    try:
        return httpx.get(f"{settings.NODE_API_URL}/health", timeout=1.0).status_code < 500
    except httpx.HTTPError:
        return False


class Dispatcher:
    """What one round does. Silence of nodes counts only after the platform itself was well for two heartbeats."""

    def __init__(self, started_at: datetime, is_heard: Callable[[], bool] = node_api_answers) -> None:
        self.is_heard = is_heard
        self.post = dispatch.Post()
        self.well_since = started_at
        self.reaper = Reaper(started_at)
        self.last_round = started_at
        self.swept_at = datetime.min.replace(tzinfo=UTC)
        self.closing = False
        self.failed: dict[str, tuple[bytes, int]] = {}
        self._due: dict[str, float] = {}

    def round(self, now: datetime) -> None:
        """One round. Raises the fault of whatever does not answer; the next round then begins anew."""
        if now - self.last_round > timedelta(seconds=GAP_S):
            self.unwell(now)
        self.last_round = now
        if self.is_due("health", HEALTH_S) and not self.is_heard():
            self.unwell(now)
        if self.is_due("flush", FLUSH_S) or self.closing:
            self.flush(now)
        self.sockets(now)
        if now - self.swept_at >= SWEEP:
            self.sweep(now)
        self.post.hand_out(now)
        self.tend_broker(now)

    def sweep(self, now: datetime) -> None:
        """What time alone brings about: nodes that ended or fell silent, leases that ran out."""
        self.swept_at = now
        node_states.sweep_ended(now)
        if now - self.well_since >= timedelta(seconds=2 * parameters.get("pool.heartbeat_s")):
            node_states.sweep_silent(now)
            node_states.sweep_degraded(now)
            self.reaper.reap(now)

    def unwell(self, now: datetime) -> None:
        """The platform was away: what nodes could not say in that time is no silence of theirs."""
        self.well_since, self.reaper = now, Reaper(now)

    def is_due(self, chore: str, every_s: float) -> bool:
        """Whether a chore is due; it then counts as done."""
        if time.monotonic() < self._due.get(chore, 0.0):
            return False
        self._due[chore] = time.monotonic() + every_s
        return True

    def flush(self, now: datetime) -> None:
        """Heartbeats into the database, all of them or none."""
        node_states.flush(presence.take_heartbeats(), now)
        presence.heartbeats_done()
        presence.note_pending(dispatch.count_pending())

    def sockets(self, now: datetime) -> None:
        """Nodes that connected, nodes whose socket closed, nodes whose grace is over."""
        for node_id, hello in presence.opened().items():
            with node_states.for_itself(node_id):
                node_states.connected(node_id, hello.hello, now)
            presence.done(presence.OPENED, node_id, hello.text)
        closed = presence.closed()
        for node_id, fact in closed.items():
            with node_states.for_itself(node_id):
                self.socket_closed(node_id, fact, now)
                self.failed.pop(node_id, None)
                continue
            self.try_again(node_id, fact)
        self.failed = {node_id: failed for node_id, failed in self.failed.items() if node_id in closed}
        self.closing = bool(closed)

    def try_again(self, node_id: str, fact: presence.Closed) -> None:
        """Keep a close that failed for the next rounds, not for ever; the node's silence then takes its work back."""
        text, tries = self.failed.get(node_id, (fact.text, 0))
        tries = tries + 1 if text == fact.text else 1
        self.failed[node_id] = (fact.text, tries)
        if tries >= TRIES:
            presence.done(presence.CLOSED, node_id, fact.text)
            logger.error("A closed socket was set aside", extra={"node": node_id, "tries": tries})

    def socket_closed(self, node_id: str, fact: presence.Closed, now: datetime) -> None:
        """A close counts only if its gateway lived on; work is taken back only if it lived on through the grace."""
        grace_ms = 1000 * parameters.get("pool.reconnect_grace_s")
        beat, present = presence.gateway_beat(fact.gateway), unix_ms(now)
        if beat > fact.at:
            node_states.disconnected(node_id, fact.at, now)
        if beat > fact.at + grace_ms and present >= fact.at + grace_ms:
            node_states.gave_up(node_id, now)
            presence.done(presence.CLOSED, node_id, fact.text)
        elif present - max(beat, fact.at) > GATEWAY_DEAD_MS:
            presence.done(presence.CLOSED, node_id, fact.text)

    def tend_broker(self, now: datetime) -> None:
        """Accounts and queues as the rows have them; a broker that is away is looked after later."""
        if not self.is_due("broker", BROKER_S) or not broker.answers():
            return
        restored = dispatch.restore_accounts()
        sent, dropped = self.post.reconcile(now, resend=now - self.well_since >= timedelta(seconds=WELL_S))
        if restored or sent or dropped:
            logger.info("Broker tended", extra={"accounts": len(restored), "sent_again": sent, "dropped": dropped})


class Sole:
    """A PostgreSQL advisory lock on a connection of its own: while it is held, no other dispatcher acts."""

    def __init__(self) -> None:
        self._session: psycopg.Connection[Any] | None = None

    def held(self) -> bool:
        """Whether this process holds the lock, trying to take it. Raises psycopg.Error if the database is away."""
        try:
            if self._session is not None:
                self._session.execute("SELECT 1")
                return True
            session = psycopg.connect(**parameters_of_connection(), autocommit=True)
        except psycopg.Error:
            self.release()
            raise
        row = session.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
        if row and row[0]:
            self._session = session
            return True
        session.close()
        return False

    def release(self) -> None:
        """Let another dispatcher act."""
        session, self._session = self._session, None
        if session is not None:
            session.close()


def parameters_of_connection() -> dict[str, Any]:
    """Where Django's database is, for a connection that Django does not manage."""
    values = connection.get_connection_params()
    return {name: values[name] for name in ("host", "port", "user", "password", "dbname") if name in values}


def run(stop: threading.Event) -> None:
    """Rounds until told to stop. Faults are logged, and tried again after a while."""
    sole, hearing, pause = Sole(), hints.Hearing(), BACK_OFF_S[0]
    dispatcher = Dispatcher(utcnow())
    acting = False
    while not stop.is_set():
        try:
            close_old_connections()
            if not sole.held():
                stop.wait(TICK_S)
                continue
            if not acting:
                acting, dispatcher = True, Dispatcher(utcnow())
                logger.info("Dispatching")
            dispatcher.round(utcnow())
            pause = BACK_OFF_S[0]
            hearing.wait(SOON_S if dispatcher.closing else TICK_S, stop)
        except FAULTS as error:
            logger.warning("A round failed", extra={"error": str(error)[:300], "kind": type(error).__name__})
            dispatcher.unwell(utcnow())
            connection.close()
            stop.wait(pause)
            pause = min(2 * pause, BACK_OFF_S[1])
    sole.release()
