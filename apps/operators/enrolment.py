"""Enrolling a node: a one-use token, a challenge bound to it, proof-of-work, and the node's own keys."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from apps.core import events, parameters, platform_keys
from apps.operators import bans, mail, sybil, work
from apps.operators.errors import (
    KeyInUse,
    KeyInvalid,
    NameInUse,
    NameInvalid,
    NotApproved,
    StakeMissing,
    TokenExpired,
    TokenInvalid,
    TokenUsed,
    TooManyNodes,
)
from apps.operators.models import EnrolmentToken, Node, NodeEvent, NodeStatus, Operator, RetiredKey, ShardHost
from workers.protocol.ids import new_id
from workers.protocol.keys import KEY_BYTES, b64, kid_of

PREFIX = "mwt"
FINGERPRINT_DIGITS = 16
NODE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}"
ENROLLED = "Enrolled; waiting for its first heartbeat."
RUN = "Run `mesh node run` on the machine."


@dataclass(frozen=True)
class Enrolment:
    """What a node says of itself when it enrols; keys are 32 raw bytes."""

    token: str
    name: str
    sign_public: bytes
    seal_public: bytes
    probe: dict[str, Any]
    lanes: dict[str, int]
    challenge: str
    nonce: str


def hash_of(token: str) -> str:
    """What is kept of a token."""
    return sha256(token.encode()).hexdigest()


@transaction.atomic(durable=True)
def issue_token(operator: Operator, name: str, now: datetime) -> str:
    """A new token, shown once; its operator is told by mail.

    Raises AccountBanned, NotApproved, StakeMissing, NameInvalid, NameInUse or TooManyNodes.
    """
    bans.refuse(now, user=operator.user)
    _check_may_enrol(operator, name)
    token = f"{PREFIX}_{platform_keys.root_fingerprint()[:FINGERPRINT_DIGITS]}_{secrets.token_hex(16)}"
    life = timedelta(seconds=parameters.get("operators.token_seconds"))
    EnrolmentToken.objects.create(
        id=new_id("tok", now),
        operator=operator,
        name=name,
        hash=hash_of(token),
        expires_at=now + life,
        created_at=now,
    )
    what = f"An enrolment token for the node “{name}”"
    told = {"what": what, "until": now + life, "where": "/nodes/register"}
    mail.notify(operator.user, "credentials_issued", told, now)
    return token


def _check_may_enrol(operator: Operator, name: str) -> None:
    """Active, staked, with room for one more node of that name."""
    if not re.fullmatch(NODE_NAME, name, re.ASCII):
        raise NameInvalid
    if operator.status != Operator.Status.ACTIVE:
        raise NotApproved
    if not operator.has_stake:
        raise StakeMissing
    nodes = operator.nodes.not_revoked()
    if nodes.filter(name=name).exists():
        raise NameInUse
    if nodes.count() >= parameters.get("operators.max_nodes"):
        raise TooManyNodes


def join_command(token: str, name: str) -> str:
    """What to run on the machine."""
    return f"mesh node join {settings.SITE_URL} --token {token} --name {name}"


def find_token(token: str, now: datetime) -> EnrolmentToken:
    """The open token. Raises TokenInvalid, TokenUsed or TokenExpired."""
    row = EnrolmentToken.objects.select_related("operator__user").filter(hash=hash_of(token)).first()
    if row is None:
        raise TokenInvalid
    if row.used_at is not None:
        raise TokenUsed
    if row.expires_at <= now:
        raise TokenExpired
    return row


def challenge(token: str, now: datetime) -> dict[str, Any]:
    """What the machine works on before it enrols with the token; it needs no storing."""
    find_token(token, now)
    return work.issue(hash_of(token), now)


def _check_keys(enrolment: Enrolment) -> None:
    """Two whole keys that no node has."""
    if {len(enrolment.sign_public), len(enrolment.seal_public)} != {KEY_BYTES}:
        raise KeyInvalid
    taken = Q(sign_public=b64(enrolment.sign_public)) | Q(seal_public=b64(enrolment.seal_public))
    retired = RetiredKey.objects.filter(sign_public=b64(enrolment.sign_public))
    if Node.objects.filter(taken).exists() or ShardHost.objects.filter(taken).exists() or retired.exists():
        raise KeyInUse


@transaction.atomic
def enrol(enrolment: Enrolment, now: datetime, *, broker_sha256: str = "", address: str | None = None) -> Node:
    """Make the node, using the token up by compare-and-set. Any refusal changes nothing.

    `address` is where the request came from; None where it came over no network. Raises TokenInvalid, TokenUsed,
    TokenExpired, ChallengeInvalid, PowInvalid, KeyInvalid, KeyInUse, AccountBanned, NotApproved, StakeMissing,
    NameInvalid, NameInUse, TooManyNodes or TooManyJoins.
    """
    token = find_token(enrolment.token, now)
    _check_keys(enrolment)
    work.check(enrolment.challenge, hash_of(enrolment.token), b64(enrolment.sign_public), enrolment.nonce, now)
    # Locked, so that enrolments of one operator are counted one after another.
    operator = (
        Operator.objects.select_for_update(no_key=True, of=("self",)).select_related("user").get(pk=token.operator_id)
    )
    if EnrolmentToken.objects.filter(pk=token.pk, used_at=None).update(used_at=now) != 1:
        raise TokenUsed
    bans.refuse(now, user=operator.user)
    _check_may_enrol(operator, enrolment.name)
    if address is not None:
        sybil.count_join(address, now)
    node = _new_node(operator, enrolment, now, broker_sha256)
    EnrolmentToken.objects.filter(pk=token.pk).update(node=node)
    NodeEvent.objects.create(node=node, at=now, new=NodeStatus.PENDING, reason=ENROLLED)
    topics = [f"node.{node.pk}", f"user.{operator.user_id}", "admin"]
    data = {"name": node.name, "status": node.status}
    events.emit("node.registered", subject=node.pk, topics=topics, data=data, now=now, actor=operator.user)
    mail.notify(operator.user, "node_registered", {"node": node}, now)
    return node


def _new_node(operator: Operator, enrolment: Enrolment, now: datetime, broker_sha256: str) -> Node:
    try:
        with transaction.atomic():
            return Node.objects.create(
                id=new_id("node", now),
                operator=operator,
                name=enrolment.name,
                status=NodeStatus.PENDING,
                reason=ENROLLED,
                next_step=RUN,
                status_at=now,
                sign_public=b64(enrolment.sign_public),
                seal_public=b64(enrolment.seal_public),
                kid=kid_of(enrolment.sign_public),
                probe=enrolment.probe,
                lanes=enrolment.lanes,
                broker_sha256=broker_sha256,
                enrolled_at=now,
            )
    except IntegrityError as error:
        raise (NameInUse if "operators_node_name_once" in str(error) else KeyInUse) from error
