"""Consensus rounds: started once a signal, relayed (rounds_relay.py), and ended by a certificate or the deadline.

Times are the wall's. A row is the truth; what the broker or a killed process lost, `sweep` sends again.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any

from django.db import transaction
from redis.exceptions import RedisError

from apps.core import events, parameters, platform_keys
from apps.pool import broker
from apps.trading import committee as committees
from apps.trading.models import Round, RoundMessage, RoundStatus, Signal
from apps.trading.rounds_errors import CommitteeTooSmall, SubjectRefused
from workers.consensus.committee import Committee, Member
from workers.consensus.errors import CommitteeRefused
from workers.consensus.outcome import subject_sha256
from workers.protocol import canonical
from workers.protocol.clock import unix_ms
from workers.protocol.envelope import sign_envelope
from workers.protocol.errors import ProtocolError
from workers.protocol.ids import new_id

logger = logging.getLogger(__name__)
LANE = "consensus"
START = "consensus.start"
TTL_S = 120
QUIET = timedelta(seconds=2)
KEPT_S = 600
TOPICS = ("desk",)


@lru_cache(maxsize=64)
def committee_of(round_id: str) -> Committee:
    """A round's committee, which never changes."""
    row = Round.objects.only("subject", "members", "block_height", "block_hash").get(pk=round_id)
    return frozen(row)


def frozen(row: Round) -> Committee:
    """The committee that a round's row names; raises CommitteeRefused where it names none."""
    return Committee(
        net=platform_keys.network_id(),
        round=row.pk,
        members=tuple(Member.load(member) for member in row.members),
        subject_sha256=subject_sha256(row.subject),
        block_height=row.block_height or 0,
        block_hash=row.block_hash,
    )


@transaction.atomic(durable=True)
def start(signal: Signal | None, subject: Mapping[str, Any], observe: Mapping[str, Any], now: datetime) -> Round:
    """Ask the oracles; a signal's round is started once. They are told after commit.

    `subject` is stored and signed with the hash of `observe`, so that all of them judge the same measurements. Raises
    CommitteeTooSmall or SubjectRefused.
    """
    if signal is not None:
        # Locked, so that two processes start one round.
        Signal.objects.select_for_update().get(pk=signal.pk)
        found = Round.objects.filter(signal=signal).first()
        if found is not None:
            return found
    height, block = committees.sealed_block()
    row = Round(
        id=new_id("rnd", now),
        signal=signal,
        subject=bound(subject, observe),
        members=[],
        block_height=height,
        block_hash=block,
        started_at=now,
        deadline_at=now + timedelta(seconds=parameters.get("consensus.round_s")),
    )
    seat(row)
    row.start = {
        "round": row.pk,
        "subject": row.subject,
        "observe": dict(observe),
        "members": row.members,
        "weights_sha256": row.weights_sha256,
        "block": {"height": height, "hash": block},
        "deadline_at": unix_ms(row.deadline_at),
    }
    row.save(force_insert=True)
    data = {"owners": len(row.members), "signal": row.signal_id}
    events.emit("round.started", subject=row.pk, topics=TOPICS, data=data, now=now)
    transaction.on_commit(partial(send_start, row, [member["node"] for member in row.members], now))
    return row


def bound(subject: Mapping[str, Any], observe: Mapping[str, Any]) -> dict[str, Any]:
    """The subject with the hash of what it is judged by; raises SubjectRefused for what has no canonical form."""
    try:
        asked = {**subject, "observed_sha256": sha256(canonical.dumps(dict(observe))).hexdigest()}
        canonical.dumps(asked)
    except ProtocolError as error:
        raise SubjectRefused(error.detail) from error
    return asked


def seat(row: Round) -> None:
    """Freeze the committee; raises CommitteeTooSmall."""
    row.members = [vars(member) for member in committees.frozen()]
    try:
        committee = frozen(row)
    except CommitteeRefused as error:
        raise CommitteeTooSmall(error.detail) from error
    row.members, row.weights_sha256 = committee.seats, committee.weights_sha256


def send_start(row: Round, nodes: Iterable[str], now: datetime) -> None:
    """Put the start into the lanes of those nodes; `sweep` makes good what fails."""
    key, net = platform_keys.signing_key(), platform_keys.network_id()
    try:
        broker.publish_all(
            (
                node,
                LANE,
                sign_envelope(
                    START, row.start or {}, key=key, net=net, sender="platform", to=node, now=now, ttl_s=TTL_S
                ),
            )
            for node in nodes
        )
    except RedisError as error:
        logger.warning("A round was not sent", extra={"round": row.pk, "error": str(error)[:200]})


def inbox(node_id: str, round_id: str) -> str:
    """The key that a node's oracle reads a round's messages from."""
    return f"{broker.prefix(node_id)}r:{round_id}"


def push(round_id: str, parcels: Iterable[tuple[str, bytes]]) -> None:
    """Put (node, JSON) into the oracles' inboxes; a node asks for what is lost here."""
    try:
        with broker.client().pipeline(transaction=False) as pipe:
            for node, text in parcels:
                pipe.lpush(inbox(node, round_id), text)
                pipe.expire(inbox(node, round_id), KEPT_S)
            pipe.execute()
    except RedisError as error:
        logger.warning("Messages were not relayed", extra={"round": round_id, "error": str(error)[:200]})


def sweep(now: datetime) -> int:
    """End rounds whose time is over, and send again what may be lost in the others; returns how many have ended."""
    ended = 0
    for row in Round.objects.filter(status=RoundStatus.OPEN).order_by("started_at"):
        if row.deadline_at <= now:
            ended += fail(row, now)
        else:
            send_again(row, now)
    return ended


@transaction.atomic(durable=True)
def fail(row: Round, now: datetime) -> bool:
    """The deadline passed without a certificate; False where somebody was faster."""
    heard = set(RoundMessage.objects.filter(round=row).values_list("signer", flat=True))
    silent = sorted(member["owner"] for member in row.members if member["owner"] not in heard)
    window = round((row.deadline_at - row.started_at).total_seconds())
    reason = f"Not agreed within {window} s: {len(heard)} of {len(row.members)} oracles took part."
    next_step = f"Look at {', '.join(silent)[:200]}: nothing came." if silent else "Look at the votes of each view."
    moved = Round.objects.filter(pk=row.pk, status=RoundStatus.OPEN).update(
        status=RoundStatus.FAILED, reason=reason, next_step=next_step, finished_at=now
    )
    if moved:
        data = {"reason": reason, "silent": silent}
        events.emit("round.failed", subject=row.pk, topics=TOPICS, data=data, now=now)
    return bool(moved)


def send_again(row: Round, now: datetime) -> None:
    """Where nothing has come for a while: the start to those who are silent, all messages to everybody."""
    messages = list(row.messages.order_by("pk"))
    newest = messages[-1].received_at if messages else row.started_at
    if newest > now - QUIET:
        return
    heard = {message.signer for message in messages}
    silent = [member["node"] for member in row.members if member["owner"] not in heard]
    try:
        send_start(row, [node for node in silent if not broker.waiting(node, LANE)], now)
    except RedisError as error:
        logger.warning("A round was not sent again", extra={"round": row.pk, "error": str(error)[:200]})
        return
    push(
        row.pk,
        (
            (member["node"], canonical.dumps(message.envelope))
            for member in row.members
            for message in messages
            if message.signer != member["owner"]
        ),
    )
