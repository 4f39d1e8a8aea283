"""Relaying a round: every message is checked, kept, compared with what its signer said before, and passed on.

The platform may delay or withhold; it cannot forge, and a message that it refuses leaves an event with the reason.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connection, transaction

from apps.core import events
from apps.core.models import Event, FaultEvidence, FaultStatus
from apps.trading.faults import EQUIVOCATION, digest_of
from apps.trading.models import Round, RoundMessage, RoundStatus
from apps.trading.rounds import TOPICS, committee_of, push
from apps.trading.rounds_errors import NotSeated, RoundUnknown
from workers.consensus import certificate as certificates
from workers.consensus import evidence as proofs
from workers.consensus.committee import Committee
from workers.consensus.errors import Refused
from workers.consensus.messages import DsseCodec, Message
from workers.protocol import canonical

logger = logging.getLogger(__name__)
FARTHEST = 64
MOST_OF_SIGNER = 500
# Bytes of a message for each seat and one more: a proposal carries what every member revealed.
LARGEST_OF_SEAT = 16 * 2**10
REFUSED = "round.message_refused"


@dataclass
class Received:
    """What came of a post: the round's status, refusals by position, and what the node asked for."""

    status: str
    refused: list[dict[str, Any]] = field(default_factory=list)
    missed: list[dict[str, Any]] = field(default_factory=list)


def seat_of(committee: Committee, node_id: str) -> str:
    """The owner whose seat the node has; raises NotSeated."""
    for member in committee.members:
        if member.node == node_id:
            return member.owner
    raise NotSeated


def receive(
    round_id: str,
    wires: Sequence[Mapping[str, Any]],
    node_id: str,
    now: datetime,
    *,
    certificate: Mapping[str, Any] | None = None,
    missed: bool = False,
) -> Received:
    """Take messages that a seated node posted, its own or others' that it passes on. Raises RoundUnknown, NotSeated.

    A refused message is named in the answer and changes nothing else. Those that come after the round's end are kept,
    since they too can prove a fault, and passed on to nobody.
    """
    try:
        committee = committee_of(round_id)
    except Round.DoesNotExist:
        raise RoundUnknown from None
    try:
        owner = seat_of(committee, node_id)
    except NotSeated:
        note_refusals(round_id, node_id, {NotSeated.code}, now)
        raise
    opened, refused = open_all(committee, wires)
    row = None
    if opened:
        row, more = keep(round_id, committee, opened, node_id, now)
        refused += more
    if refused:
        note_refusals(round_id, node_id, {str(one["code"]) for one in refused}, now)
    if certificate is not None and not certify(round_id, committee, certificate, node_id, now):
        refused.append({"message": None, "code": "bad_certificate"})
    if row is None or row.status != RoundStatus.OPEN or certificate is not None:
        row = Round.objects.only("status").get(pk=round_id)
    answer = Received(row.status, refused)
    if missed and row.status == RoundStatus.OPEN:
        others = RoundMessage.objects.filter(round=round_id).exclude(signer=owner).order_by("pk")
        answer.missed = list(others.values_list("envelope", flat=True))
    return answer


def open_all(
    committee: Committee, wires: Sequence[Mapping[str, Any]]
) -> tuple[list[tuple[int, Message]], list[dict[str, Any]]]:
    """The messages of a fitting size that members signed, by position; and the refusals of the others."""
    codec = DsseCodec(committee)
    opened: list[tuple[int, Message]] = []
    refused: list[dict[str, Any]] = []
    largest = LARGEST_OF_SEAT * (len(committee.members) + 1)
    for position, wire in enumerate(wires):
        # Everybody's inbox is in one broker: what a member says must not fill it.
        if len(canonical.dumps(wire)) > largest:
            refused.append({"message": position, "code": "too_large"})
            continue
        try:
            opened.append((position, codec.open(wire)))
        except Refused as error:
            refused.append({"message": position, "code": error.code})
    return opened, refused


@transaction.atomic(durable=True)
def keep(
    round_id: str, committee: Committee, opened: Sequence[tuple[int, Message]], node_id: str, now: datetime
) -> tuple[Round, list[dict[str, Any]]]:
    """Store what is new, file evidence, pass it on after commit; returns the round as it was, and the refusals."""
    signers = sorted({message.signer for _, message in opened})
    lock_signers(round_id, signers)
    row = Round.objects.only("status", "view", "deadline_at").get(pk=round_id)
    said = list(RoundMessage.objects.filter(round=round_id, signer__in=signers).defer("envelope").order_by("pk"))
    refused: list[dict[str, Any]] = []
    fresh: list[RoundMessage] = []
    for position, message in opened:
        code = against(message, said, row)
        if code:
            refused.append({"message": position, "code": code})
            continue
        if code is None:
            stored = row_of(message, round_id, committee, now)
            compare(stored, said, committee, now)
            said.append(stored)
            fresh.append(stored)
    RoundMessage.objects.bulk_create(fresh)
    if fresh and row.status == RoundStatus.OPEN and now < row.deadline_at:
        follow_view(row, committee, fresh)
        transaction.on_commit(partial(pass_on, round_id, committee, node_id, fresh, now))
    return row, refused


def lock_signers(round_id: str, signers: Sequence[str]) -> None:
    """One transaction at a time for each signer in a round: of two conflicting messages, the later one is compared."""
    with connection.cursor() as cursor:
        for signer in signers:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{round_id} {signer}"])


def against(message: Message, said: Sequence[RoundMessage], row: Round) -> str | None:
    """A refusal's code, empty for what is here already, None for what is new."""
    if any(one.digest == message.digest for one in said):
        return ""
    if message.view > row.view + FARTHEST:
        return "too_far"
    if sum(one.signer == message.signer for one in said) >= MOST_OF_SIGNER:
        return "too_many"
    return None


def row_of(message: Message, round_id: str, committee: Committee, now: datetime) -> RoundMessage:
    """The message as it is stored."""
    return RoundMessage(
        round_id=round_id,
        signer=message.signer,
        node_id=committee.by_owner[message.signer].node,
        step=message.step,
        view=message.view,
        digest=message.digest,
        envelope=message.wire,
        received_at=now,
    )


def compare(new: RoundMessage, said: Sequence[RoundMessage], committee: Committee, now: datetime) -> None:
    """File the evidence where the signer has said something else in this view and step: once for each such place."""
    slot = (new.signer, new.view, new.step)
    held = next((one for one in said if (one.signer, one.view, one.step) == slot), None)
    if held is None:
        return
    evidence = proofs.make(held.envelope, new.envelope)
    if not proofs.verify(evidence, committee.by_owner[new.signer]):
        return
    values = {"kind": EQUIVOCATION, "accused": new.signer, "evidence": evidence, "at": now}
    defaults = {**values, "status": FaultStatus.PENDING}
    _, made = FaultEvidence.objects.get_or_create(digest=digest_of(evidence), defaults=defaults)
    if made:
        data = {"round": committee.round, "view": new.view, "step": new.step, "node": new.node_id}
        events.emit("fault.filed", subject=new.signer, topics=[*TOPICS, "admin"], data=data, now=now)


def follow_view(row: Round, committee: Committee, fresh: Sequence[RoundMessage]) -> None:
    """The round is in the latest view that more than a third of the weight, so somebody honest, has spoken in."""
    ahead = max(message.view for message in fresh)
    if ahead <= row.view:
        return
    signers = set(RoundMessage.objects.filter(round=row.pk, view__gte=ahead).values_list("signer", flat=True))
    if 3 * sum(committee.weights[signer] for signer in signers) > committee.total:
        Round.objects.filter(pk=row.pk, view__lt=ahead).update(view=ahead)


def pass_on(round_id: str, committee: Committee, node_id: str, fresh: Sequence[RoundMessage], now: datetime) -> None:
    """To every member but the signer and the one who posted; and a hint to the pages."""
    push(
        round_id,
        [
            (member.node, canonical.dumps(message.envelope))
            for message in fresh
            for member in committee.members
            if member.owner != message.signer and member.node != node_id
        ],
    )
    steps = sorted({message.step for message in fresh})
    told = {"kind": "round.message", "subject": round_id, "data": {"steps": steps}, "at": now.isoformat()}
    events.publish(TOPICS, told)


def certify(round_id: str, committee: Committee, certificate: Mapping[str, Any], node_id: str, now: datetime) -> bool:
    """Take a certificate that proves itself and is of this very round; False for any other.

    Whichever comes first counts: all certificates of a round have the same outcome.
    """
    if Round.objects.filter(pk=round_id, status=RoundStatus.CERTIFIED).exists():
        return True
    expected = {"weights_sha256": committee.weights_sha256, "subject_sha256": committee.subject_sha256}
    if any(certificate.get(name) != value for name, value in {**expected, "round": round_id}.items()):
        return False
    if not certificates.verify(certificate, pinned_block_hash=committee.block_hash).ok:
        return False
    with transaction.atomic(durable=True):
        open_rounds = Round.objects.filter(pk=round_id, status=RoundStatus.OPEN, deadline_at__gt=now)
        if open_rounds.update(
            status=RoundStatus.CERTIFIED,
            outcome=certificate["outcome"],
            certificate=certificate,
            view=view_of(committee, certificate),
            finished_at=now,
        ):
            data = {"outcome": certificate["outcome"], "signed": len(certificate["precommits"])}
            events.emit("round.certified", subject=round_id, topics=TOPICS, data=data, now=now)
            parcel = canonical.dumps({"certificate": certificate})
            parcels = [(member.node, parcel) for member in committee.members if member.node != node_id]
            transaction.on_commit(partial(push, round_id, parcels))
    return True


def view_of(committee: Committee, certificate: Mapping[str, Any]) -> int:
    """The view in which the certificate's precommits were signed."""
    return DsseCodec(committee).open(certificate["precommits"][0]).view


def note_refusals(round_id: str, node_id: str, codes: set[str], now: datetime) -> None:
    """One event for each round, node and code, however often it is tried."""
    for code in sorted(codes):
        data = {"node": node_id, "code": code}
        if Event.objects.filter(kind=REFUSED, subject=round_id, data=data).exists():
            continue
        with transaction.atomic(durable=True):
            events.emit(REFUSED, subject=round_id, topics=["admin"], data=data, now=now)
