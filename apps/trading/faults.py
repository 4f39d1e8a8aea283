"""From filed evidence to a slash: what was filed is proven again from its own content, and punished once.

A row alone takes nobody's stake. Both signatures are checked against the key of the seat, that key against those that
the node has or had, and the seats against the hash under which the round froze them. The fault's name follows from the
place that both messages sign, so that other evidence of it is the same fault; its time is the one in the round's id.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import transaction

from apps.core import events, platform_keys
from apps.core.models import FaultEvidence, FaultStatus
from apps.ledger import staking
from apps.ledger.retries import retried
from apps.operators import slashes
from apps.operators.models import Node, RetiredKey
from apps.operators.slash_errors import FaultKnown
from apps.trading.fault_errors import (
    AccusedNotSeated,
    EvidenceExpired,
    EvidenceMalformed,
    EvidenceRefused,
    EvidenceUnproven,
    KeyForeign,
    RoundChanged,
    RoundForeign,
)
from apps.trading.models import Round
from apps.trading.rounds import TOPICS, frozen
from workers.consensus import evidence as proofs
from workers.consensus.committee import Committee, Member
from workers.consensus.errors import CommitteeRefused, Refused
from workers.consensus.messages import DsseCodec
from workers.protocol import canonical
from workers.protocol.clock import unix_ms
from workers.protocol.errors import ProtocolError
from workers.protocol.ids import parse_uuid

logger = logging.getLogger(__name__)
EQUIVOCATION = "consensus.equivocation"
SHARE = "slashing.equivocation_bp"
PLACE = ("net", "round", "view", "step", "signer")
AT_ONCE = 100
# A key that was changed while a round began may be the one that was frozen.
CHANGING = timedelta(minutes=1)


@dataclass(frozen=True)
class Proof:
    """Evidence that held: the committee that it is about, and the member that it convicts."""

    round: Round
    committee: Committee
    member: Member
    node: Node


def digest_of(evidence: Mapping[str, Any]) -> str:
    """The hash of the place at which two messages conflict: it names the fault, whichever two they are."""
    return sha256(canonical.dumps({name: evidence[name] for name in PLACE})).hexdigest()


def sweep(now: datetime) -> int:
    """Judge what is pending, the oldest first, each for itself; what fails is tried again. Says how many are done."""
    done = 0
    pending = FaultEvidence.objects.filter(status=FaultStatus.PENDING).order_by("at", "pk")
    for key in list(pending.values_list("pk", flat=True)[:AT_ONCE]):
        try:
            done += judge(key, now) is not None
        except Exception:
            # Whatever it is, it must not keep the others from being judged; what stays pending is shown to staff.
            logger.exception("Evidence could not be judged; it is tried again", extra={"evidence": key})
    return done


@retried
@transaction.atomic
def judge(evidence_id: int, now: datetime) -> FaultStatus | None:
    """Slash for pending evidence, or refuse it with a code, all in one transaction; None where that was done before."""
    rows = FaultEvidence.objects.select_for_update(no_key=True).filter(status=FaultStatus.PENDING)
    row = rows.filter(pk=evidence_id).first()
    if row is None:
        return None
    try:
        with transaction.atomic():
            _slash(row, prove(row), now)
    except (EvidenceRefused, FaultKnown) as refusal:
        row.decide(FaultStatus.REFUSED, now, refusal.code, refusal.detail)
        data = {"digest": row.digest, "code": refusal.code}
        events.emit("fault.refused", subject=row.accused, topics=[*TOPICS, "admin"], data=data, now=now)
    return FaultStatus(row.status)


def _slash(row: FaultEvidence, proof: Proof, now: datetime) -> None:
    if row.at - proof.round.started_at > staking.unbonding_time():
        raise EvidenceExpired
    said = row.evidence
    what = f"It signed two different messages of step {said['step']} in view {said['view']} of round {said['round']}."
    name = f"equivocation:{digest_of(said)}"
    case = slashes.punish(slashes.Fault(name, proof.node, proof.round.started_at, what, SHARE), row, now)
    row.decide(FaultStatus.SLASHED, now)
    data = {"digest": row.digest, "case": case.public_id, "node": proof.node.pk}
    events.emit("fault.slashed", subject=row.accused, topics=[*TOPICS, "admin"], data=data, now=now)


def prove(row: FaultEvidence) -> Proof:
    """What the evidence proves, from its content, the round's frozen committee and the nodes' keys alone.

    Raises EvidenceRefused: one of its kinds, each for what does not hold.
    """
    said = row.evidence
    if row.kind != EQUIVOCATION or not isinstance(said, dict) or set(said) != proofs.FIELDS:
        raise EvidenceMalformed
    if said["signer"] != row.accused:
        raise EvidenceMalformed
    played, committee = _round_of(said)
    member = committee.by_owner.get(said["signer"])
    if member is None:
        raise AccusedNotSeated
    node = _node_of(member, played)
    _check_messages(said, committee, member)
    return Proof(played, committee, member, node)


def _round_of(said: Mapping[str, Any]) -> tuple[Round, Committee]:
    """The round that the messages name, with the committee that was frozen for it."""
    played = Round.objects.filter(pk=str(said["round"])).first()
    if played is None or said["net"] != platform_keys.network_id():
        raise RoundForeign
    try:
        committee = frozen(played)
        began = parse_uuid("rnd", played.pk).int >> 80
    except (CommitteeRefused, ValueError) as error:
        raise RoundChanged from error
    hashes = {played.weights_sha256, (played.start or {}).get("weights_sha256", committee.weights_sha256)}
    if played.certificate:
        hashes.add(played.certificate.get("weights_sha256"))
    if hashes != {committee.weights_sha256} or began != unix_ms(played.started_at):
        raise RoundChanged
    return played, committee


def _node_of(member: Member, played: Round) -> Node:
    """The owner's node whose key the seat had: its key now, or one that it gave up after the round began."""
    node = Node.objects.select_related("operator__user").filter(pk=member.node, operator=member.owner).first()
    if node is None:
        raise KeyForeign
    retired = RetiredKey.objects.filter(node=node, sign_public=member.public)
    if node.sign_public != member.public and not retired.filter(retired_at__gt=played.started_at - CHANGING).exists():
        raise KeyForeign
    return node


def _check_messages(said: Mapping[str, Any], committee: Committee, member: Member) -> None:
    """Both are whole messages of this round, signed by the member, for one view and step, and say different things."""
    codec = DsseCodec(committee)
    try:
        opened = [codec.open(said[which]) for which in ("first", "second")]
    except (Refused, ProtocolError) as error:
        raise EvidenceUnproven(f"One of the two messages is refused: {error.code}.") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EvidenceUnproven("One of the two messages is none.") from error
    if any(message.signer != member.owner for message in opened) or not proofs.verify(said, member):
        raise EvidenceUnproven
