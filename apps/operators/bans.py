"""Bans: an account, a node or an address is kept out, with a reason, evidence, an end and a way to appeal.

A ban covers nodes: the node itself, all of a banned account, all of an account that a banned address is bound to. They
are suspended while it stands and let back when it ends. Every process knows the standing bans, at most a second old:
it compares their digest in the cache, and reads the rows where that has changed.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.core.cache import cache
from django.db import IntegrityError, transaction
from redis.exceptions import RedisError

from apps.core import events
from apps.core.models import User
from apps.ledger.retries import retried
from apps.operators import mail
from apps.operators.errors import (
    AccountBanned,
    AddressBanned,
    AlreadyBanned,
    AppealClosed,
    BanInvalid,
    BanOver,
    NodeBanned,
    ReasonMissing,
    SelfBan,
)
from apps.operators.models import (
    NODE_TRANSITIONS,
    Appeal,
    Ban,
    BanKind,
    EthereumAddress,
    Node,
    NodeStatus,
    SlashCase,
    Wallet,
)
from workers.protocol.clock import unix_ms
from workers.protocol.ids import new_id

logger = logging.getLogger(__name__)
CACHE_SECONDS = 1.0
DIGEST = "bans:digest"
ADDRESS = re.compile(r"[0-9a-f]{64}|0x[0-9a-f]{40}")
NEXT_STEP = "Appeal on the site's page of bans."
LIFTED = "Its ban does not hold any more; waiting for it to connect."
RUN = "Run `mesh node run` on the machine."
OVER = "Its time is up."
Follower = Callable[[str, "Notice | None", datetime], None]
Holders = Callable[[Iterable[str]], dict[str, int]]
_followers: list[Follower] = []
_holders: list[Holders] = []


@dataclass(frozen=True)
class Notice:
    """A standing ban in short: what whoever is banned is told. `ends_at` is unix ms, None without an end."""

    ban: str
    reason: str
    ends_at: int | None

    @classmethod
    def of(cls, ban: Ban) -> "Notice":
        return cls(ban.pk, ban.reason, unix_ms(ban.ends_at) if ban.ends_at else None)

    def is_over(self, now_ms: int) -> bool:
        """Whether its time is up; the sweep ends it soon."""
        return self.ends_at is not None and self.ends_at <= now_ms

    @property
    def words(self) -> str:
        """The ban as a sentence."""
        return f"Banned ({self.ban}): {self.reason} {NEXT_STEP}"

    def as_dict(self) -> dict[str, Any]:
        """For a heartbeat's answer."""
        return {"ban": self.ban, "reason": self.reason, "ends_at": self.ends_at}


@dataclass
class Standing:
    """All standing bans, by what they cover."""

    users: dict[int, Notice] = field(default_factory=dict)
    nodes: dict[str, Notice] = field(default_factory=dict)
    addresses: dict[str, Notice] = field(default_factory=dict)


_standing = Standing()
_known: str | None = None
_looked_at = 0.0


def follow(follower: Follower) -> None:
    """Have `follower(node_id, notice or None, now)` called after commit when a ban begins or ends for a node."""
    _followers.append(follower)


def held_by(holders: Holders) -> None:
    """Add a way to find whose addresses are: `holders(addresses)` gives the account's number for each known one."""
    _holders.append(holders)


def bound(addresses: Iterable[str]) -> dict[str, int]:
    """Accounts by the address of a wallet or of Ethereum that is bound to them."""
    wanted = list(addresses)
    wallets = Wallet.objects.filter(address__in=wanted).values_list("address", "user_id")
    return dict(wallets) | dict(EthereumAddress.objects.filter(pk__in=wanted).values_list("pk", "user_id"))


held_by(bound)


def accounts_of(addresses: Iterable[str]) -> dict[str, int]:
    """Accounts by address, whoever knows of it."""
    wanted, found = list(addresses), dict[str, int]()
    for holders in _holders:
        found |= holders(wanted)
    return found


def normal(address: str) -> str:
    """An address as it is compared: lower case. Raises BanInvalid for what is none."""
    text = address.strip().lower()
    if not ADDRESS.fullmatch(text):
        raise BanInvalid
    return text


def standing(now: datetime) -> Standing:
    """The standing bans; read anew where their digest in the cache, looked at once a second, has changed."""
    global _standing, _known, _looked_at
    if time.monotonic() - _looked_at > CACHE_SECONDS:
        seen = published()
        if seen is None or seen != _known:
            _standing, _known = _read(now), seen
        _looked_at = time.monotonic()
    return _standing


def published() -> str | None:
    """The digest of what stands, as the last change or sweep has left it; None where the cache does not answer."""
    try:
        return str(cache.get(DIGEST, ""))
    except RedisError as error:
        logger.warning("Bans are read without the cache", extra={"error": str(error)[:200]})
        return None


def publish(now: datetime) -> None:
    """Let every process know what stands now."""
    read = _read(now)
    text = repr([sorted(read.users.items()), sorted(read.nodes.items()), sorted(read.addresses.items())])
    try:
        cache.set(DIGEST, sha256(text.encode()).hexdigest() if read.users or read.nodes or read.addresses else "", None)
    except RedisError as error:
        logger.warning("Bans were not published; the sweep does it", extra={"error": str(error)[:200]})


def forget_cached() -> None:
    """Read bans anew at the next question."""
    global _known, _looked_at
    _known, _looked_at = None, 0.0


def _read(now: datetime) -> Standing:
    bans = list(Ban.objects.standing(now).order_by("at"))
    if not bans:
        return Standing()
    notices = {ban.pk: Notice.of(ban) for ban in bans}
    users = {ban.user_id: notices[ban.pk] for ban in bans if ban.user_id is not None}
    addresses = {ban.address: notices[ban.pk] for ban in bans if ban.address}
    for address, user_id in accounts_of(addresses).items():
        users.setdefault(user_id, addresses[address])
    theirs = Node.objects.filter(operator__user__in=users).values_list("pk", "operator__user_id")
    nodes = {node_id: users[user_id] for node_id, user_id in theirs}
    nodes |= {ban.node_id: notices[ban.pk] for ban in bans if ban.node_id is not None}
    return Standing(users, nodes, addresses)


def refused(
    now: datetime, *, user: Any = None, node_id: str | None = None, address: str | None = None
) -> Notice | None:
    """The ban that keeps any of them out; None where there is none."""
    held, now_ms = standing(now), unix_ms(now)
    found = [held.users.get(user.pk) if user is not None else None, held.nodes.get(node_id or "")]
    found.append(held.addresses.get((address or "").lower()))
    return next((notice for notice in found if notice is not None and not notice.is_over(now_ms)), None)


def refuse(now: datetime, *, user: Any = None, node_id: str | None = None, address: str | None = None) -> None:
    """Raise AccountBanned, NodeBanned or AddressBanned where a ban stands, with its reason and the next step."""
    if user is not None and (notice := refused(now, user=user)):
        raise AccountBanned(notice.words)
    if node_id is not None and (notice := refused(now, node_id=node_id)):
        raise NodeBanned(notice.words)
    if address is not None and (notice := refused(now, address=address)):
        raise AddressBanned(notice.words)


@dataclass(frozen=True)
class Order:
    """What a ban is made of; one of user, node and address."""

    reason: str
    evidence: str
    user: User | None = None
    node: Node | None = None
    address: str = ""
    ends_at: datetime | None = None

    def checked(self, now: datetime) -> dict[str, Any]:
        """The order as a row's values. Raises ReasonMissing or BanInvalid."""
        if not self.reason.strip() or not self.evidence.strip():
            raise ReasonMissing("A ban needs a reason and the evidence for it.")
        if sum(map(bool, (self.user, self.node, self.address))) != 1:
            raise BanInvalid("A ban is of one account, one node or one address.")
        if self.ends_at is not None and self.ends_at <= now:
            raise BanInvalid("A ban ends in the future, or has no end.")
        kind = BanKind.ACCOUNT if self.user else BanKind.NODE if self.node else BanKind.ADDRESS
        address = normal(self.address) if self.address else ""
        words = {"reason": self.reason.strip(), "evidence": self.evidence.strip()}
        return {
            **words,
            "kind": kind,
            "user": self.user,
            "node": self.node,
            "address": address,
            "ends_at": self.ends_at,
        }


@retried
@transaction.atomic(durable=True)
def make(order: Order, actor: User, now: datetime) -> Ban:
    """Ban; its nodes are suspended at once. Raises ReasonMissing, BanInvalid, AlreadyBanned or SelfBan."""
    values = order.checked(now)
    if actor.pk in concerned(order.user, order.node, values["address"]):
        raise SelfBan
    # One whose time is up would stand in the way of the next until the sweep.
    end_due(now)
    try:
        with transaction.atomic():
            ban = Ban.objects.create(id=new_id("ban", now), made_by=actor, at=now, **values)
    except IntegrityError as error:
        raise AlreadyBanned from error
    _changed(ban, "ban.made", now, actor)
    _tell(ban, "banned", {}, now)
    for node in covered(ban):
        _suspend(node, ban, now)
    return ban


@retried
@transaction.atomic(durable=True)
def lift(ban: Ban, actor: User, reason: str, now: datetime) -> None:
    """End a ban; what it covered is let back. Raises ReasonMissing, SelfBan, or BanOver where it has ended."""
    if not reason.strip():
        raise ReasonMissing
    if actor.pk in concerned(ban.user, ban.node, ban.address):
        raise SelfBan
    end(ban, reason.strip(), now, actor)


@transaction.atomic
def end_due(now: datetime) -> int:
    """End bans whose time is up; returns how many."""
    due = list(Ban.objects.over(now).select_related("user", "node__operator__user"))
    for ban in due:
        end(ban, OVER, now, None)
    return len(due)


def end(ban: Ban, reason: str, now: datetime, actor: User | None) -> None:
    """End a ban by compare-and-set; needs an open transaction. Raises BanOver where somebody was faster."""
    ended = {"lifted_at": now, "lifted_by": actor, "lift_reason": reason[:500]}
    if Ban.objects.filter(pk=ban.pk, lifted_at=None).update(**ended) != 1:
        raise BanOver
    for name, value in ended.items():
        setattr(ban, name, value)
    for appeal in ban.appeals.open():
        close_appeal(appeal, actor or ban.made_by, reason, now, granted=True)
    _changed(ban, "ban.lifted", now, actor)
    _tell(ban, "ban_lifted", {}, now)
    for node in covered(ban):
        _let_back(node, ban, now)


def _changed(ban: Ban, kind: str, now: datetime, actor: User | None) -> None:
    """The event, and that every process reads bans anew."""
    people = concerned(ban.user, ban.node, ban.address)
    topics = ["admin", *(f"user.{pk}" for pk in people)]
    data = {"what": ban.subject, "reason": ban.reason, "ends_at": ban.ends_at.isoformat() if ban.ends_at else ""}
    if ban.lifted_at:
        data["lift_reason"] = ban.lift_reason
    events.emit(kind, subject=ban.pk, topics=topics, data=data, now=now, actor=actor)
    forget_cached()
    transaction.on_commit(_call(_committed, now), robust=True)


def _committed(now: datetime) -> None:
    forget_cached()
    publish(now)


def concerned(user: User | None, node: Node | None, address: str) -> set[int]:
    """Numbers of the accounts that a ban of this would meet."""
    if user is not None:
        return {user.pk}
    return {node.operator.user_id} if node is not None else set(accounts_of([address]).values())


def covered(ban: Ban) -> list[Node]:
    """The nodes that it keeps out, locked: none of them moves to another state beside the ban."""
    rows = Node.objects.select_for_update(no_key=True, of=("self",)).select_related("operator__user").order_by("pk")
    if ban.node_id is not None:
        return list(rows.filter(pk=ban.node_id))
    return list(rows.filter(operator__user__in=concerned(ban.user, None, ban.address)))


def _tell(ban: Ban, kind: str, context: dict[str, Any], now: datetime) -> None:
    for user in User.objects.filter(pk__in=concerned(ban.user, ban.node, ban.address)):
        what = {BanKind.ACCOUNT: "your account", BanKind.NODE: f"your node {ban.subject}"}
        told = {"ban": ban, "what": what.get(BanKind(ban.kind), f"your address {ban.subject}"), **context}
        mail.notify(user, kind, told, now)


def _suspend(node: Node, ban: Ban, now: datetime) -> None:
    """Stop the node; one that is suspended for another reason keeps that reason."""
    if NodeStatus.SUSPENDED in NODE_TRANSITIONS[NodeStatus(node.status)]:
        node.move(NodeStatus.SUSPENDED, ban.node_reason, NEXT_STEP, now)
    _follow(node.pk, Notice.of(ban), now)


def _let_back(node: Node, ban: Ban, now: datetime) -> None:
    """Let the node back if it was this ban that stopped it, unless another one covers it."""
    if node.status != NodeStatus.SUSPENDED or node.reason != ban.node_reason:
        return
    kept = Node.objects.filter(pk=node.pk, reason=ban.node_reason)
    if other := standing(now).nodes.get(node.pk):
        kept.update(reason=f"Banned ({other.ban}): {other.reason}")
        return
    # What was slashed while it was banned, when nobody could let it back, does not come back with the ban's end.
    if slashed := SlashCase.objects.standing().filter(node=node, at__gte=ban.at).first():
        kept.update(reason=slashed.node_reason, next_step=slashed.node_next_step)
        return
    node.move(NodeStatus.OFFLINE, LIFTED, RUN, now)
    _follow(node.pk, None, now)


def _follow(node_id: str, notice: Notice | None, now: datetime) -> None:
    for follower in _followers:
        transaction.on_commit(_call(follower, node_id, notice, now), robust=True)


def _call(act: Callable[..., None], *arguments: Any) -> Callable[[], None]:
    # A function, since Django names what failed after a commit, and a partial has no name.
    def call() -> None:
        act(*arguments)

    return call


def sweep(now: datetime) -> tuple[int, int]:
    """End bans whose time is up, and stop nodes that slipped in beside one; returns how many of each."""
    ended, stopped = end_due(now), 0
    forget_cached()
    publish(now)
    for node_id, notice in standing(now).nodes.items():
        with transaction.atomic():
            rows = Node.objects.select_for_update(no_key=True, of=("self",)).select_related("operator__user")
            node = rows.filter(pk=node_id).first()
            if node and NodeStatus.SUSPENDED in NODE_TRANSITIONS[NodeStatus(node.status)]:
                _suspend(node, Ban.objects.get(pk=notice.ban), now)
                stopped += 1
    return ended, stopped


def close_appeal(made: Appeal, actor: User, text: str, now: datetime, *, granted: bool) -> None:
    """Answer an appeal, whoever does. Raises AppealClosed where somebody was faster."""
    answered = {"granted": granted, "answer": text, "answered_at": now, "answered_by": actor}
    if Appeal.objects.open().filter(pk=made.pk).update(**answered) != 1:
        raise AppealClosed
    for name, value in answered.items():
        setattr(made, name, value)
    data = {"appeal": made.pk, "granted": granted, "answer": text}
    topics = ["admin", f"user.{made.by_id}"]
    events.emit("ban.appeal_answered", subject=made.ban_id, topics=topics, data=data, now=now, actor=actor)
    mail.notify(made.by, "appeal_answered", {"appeal": made, "what": made.ban.subject}, now)
