"""Nodes' keys and exceptional states, cached in the process: a node is looked up once, a revocation is a second old."""

import threading
import time
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from apps.core import platform_keys
from apps.operators import bans
from apps.operators.models import Node, NodeStatus, RetiredKey
from apps.pool.node_api.errors import KeyRetired, NodeRevoked
from apps.pool.replay import DatabaseReplayGuard
from workers.protocol.clock import utcnow
from workers.protocol.envelope import SKEW_MS, Envelope, KnownKey, open_envelope
from workers.protocol.errors import Replayed
from workers.protocol.keys import unb64
from workers.protocol.messages import KINDS, Body, NodeHeartbeat, decode_body

PLATFORM = "platform"
M = TypeVar("M", bound=Body)
NAMES = {kind: name for name, kind in KINDS.items()}
MOST_KEYS = 100_000
STATES_SECONDS = 1.0
RETIRED_KEPT = timedelta(days=30)
EXCEPTIONS = (NodeStatus.REVOKED, NodeStatus.SUSPENDED, NodeStatus.DRAINING)


class Directory:
    """Who holds which key. A key never changes hands, so it may be kept; what may change is read anew each second:
    exceptional states, retired keys, and the limits that owners have set."""

    def __init__(self) -> None:
        self._keys: dict[str, KnownKey] = {}
        self._states: dict[str, str] = {}
        self._retired: frozenset[str] = frozenset()
        self._limits: dict[str, dict[str, Any]] = {}
        self._read_at = 0.0
        self._lock = threading.Lock()

    def resolve(self, kid: str) -> KnownKey | None:
        """The node's key of that id; unknown ones are looked up every time. Raises KeyRetired for one it had before."""
        self._refresh()
        if kid in self._retired:
            raise KeyRetired
        known = self._keys.get(kid)
        if known is None:
            row = Node.objects.filter(kid=kid).values_list("sign_public", "pk").first()
            if row is None and RetiredKey.objects.filter(kid=kid).exists():
                raise KeyRetired
            if row is None:
                return None
            known = KnownKey(unb64(row[0]), row[1])
            if len(self._keys) >= MOST_KEYS:
                self._keys.clear()
            self._keys[kid] = known
        return known

    def state(self, node_id: str) -> str:
        """`revoked`, `suspended` or `draining`; empty for all other states. At most a second old."""
        self._refresh()
        return self._states.get(node_id, "")

    def limits(self, node_id: str) -> dict[str, Any] | None:
        """What the node's owner has set on its page; None where nothing was ever set. At most a second old."""
        self._refresh()
        return self._limits.get(node_id)

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at <= STATES_SECONDS:
            return
        with self._lock:
            if time.monotonic() - self._read_at > STATES_SECONDS:
                self._states = dict(Node.objects.filter(status__in=EXCEPTIONS).values_list("pk", "status"))
                self._limits = dict(Node.objects.not_revoked().exclude(limits={}).values_list("pk", "limits"))
                # Long retired ones are in no process' cache any more, and are found in the table.
                recent = RetiredKey.objects.filter(retired_at__gte=utcnow() - RETIRED_KEPT)
                self._retired = frozenset(recent.values_list("kid", flat=True))
                self._read_at = time.monotonic()

    def forget(self) -> None:
        """Read everything anew."""
        self._keys.clear()
        self._read_at = 0.0


directory = Directory()


def open_from_node(raw: dict[str, Any], kind: type[M], now: datetime, *, durable: bool = True) -> tuple[Envelope, M]:
    """Open a node's message of one kind. Raises ProtocolErrors, or NodeRevoked; nothing has happened then.

    `durable` has the database refuse it a second time; its id is kept only once everything else is right.
    """
    name = NAMES[kind]
    envelope = open_envelope(
        raw,
        net=platform_keys.network_id(),
        to=PLATFORM,
        kinds={name},
        resolve=directory.resolve,
        now=now,
        replay=None,
    )
    body = decode_body(name, envelope.body)
    refuse_revoked(envelope.sender)
    # A heartbeat is answered all the same, since its answer is what tells the node.
    if kind is not NodeHeartbeat:
        bans.refuse(now, node_id=envelope.sender)
    if durable and DatabaseReplayGuard().seen(envelope.sender, envelope.id, envelope.expires_at + SKEW_MS):
        raise Replayed
    return envelope, cast(M, body)


def refuse_revoked(node_id: str) -> None:
    """Raise NodeRevoked for a node that was."""
    if directory.state(node_id) == NodeStatus.REVOKED:
        raise NodeRevoked
