"""Proof that one signer signed two different messages for the same round, view and step."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from workers.consensus.certificate import Verdict
from workers.consensus.committee import Member, weights_sha256
from workers.consensus.errors import CommitteeRefused
from workers.consensus.messages import KIND, STEPS, Message
from workers.protocol.envelope import KnownKey, open_document, unverified_payload
from workers.protocol.errors import ProtocolError
from workers.protocol.keys import kid_of, unb64

Evidence = dict[str, Any]

FIELDS = {"net", "round", "view", "step", "signer", "first", "second"}
TRUSTS = (
    "Trusts that these were the seats of the round: their hash must be that of the round's start, "
    "which its certificate carries too."
)


def between(net: str, round_id: str, first: Message, second: Message) -> Evidence:
    """The evidence of two opened messages of one signer, view and step."""
    return {
        "net": net,
        "round": round_id,
        "view": first.view,
        "step": first.step,
        "signer": first.signer,
        "first": first.wire,
        "second": second.wire,
    }


def make(first: Mapping[str, Any], second: Mapping[str, Any]) -> Evidence:
    """The evidence of two signed documents, unverified; raises ProtocolError or KeyError if they are not documents."""
    said = unverified_payload(first)
    body = said["body"]
    named = {name: body[name] for name in ("round", "view", "step", "signer")}
    return {"net": said["net"], **named, "first": dict(first), "second": dict(second)}


def verify(evidence: Mapping[str, Any], member: Member) -> bool:
    """Whether the member signed both documents and they say different things in one round, view and step.

    Needs nothing but the evidence and the member's key.
    """
    try:
        return set(evidence) == FIELDS and _holds(evidence, member)
    except (ProtocolError, KeyError, TypeError, ValueError):
        return False


def document(fault: str, evidence: Mapping[str, Any], members: Sequence[Member]) -> dict[str, Any]:
    """The evidence with the seats of its round, as a file that `check` takes."""
    seats = [asdict(member) for member in members]
    return {"fault": fault, "evidence": dict(evidence), "members": seats, "weights_sha256": weights_sha256(members)}


def looks_like(document: Any) -> bool:
    """Whether this JSON is meant as evidence."""
    return isinstance(document, Mapping) and "evidence" in document and "weights_sha256" in document


def check(document: Mapping[str, Any]) -> Verdict:
    """Check a file of evidence with itself alone."""
    verdict = Verdict(trusts=TRUSTS)
    try:
        said, members = document["evidence"], [Member.load(member) for member in document["members"]]
        weights = weights_sha256(members)
        accused = next(member for member in members if member.owner == said["signer"])
    except (CommitteeRefused, ProtocolError, StopIteration, KeyError, TypeError, AttributeError) as error:
        verdict.add("shape", False, f"the evidence is not whole: {type(error).__name__}: {error}")
        return verdict
    verdict.add("weights", weights == document["weights_sha256"], f"{len(members)} seats, hash {weights[:16]}…")
    verdict.add("key", kid_of(unb64(accused.public)) == accused.kid, f"{accused.owner} had the key {accused.kid}")
    place = f"step {said.get('step')} in view {said.get('view')} of round {said.get('round')}"
    verdict.add("equivocation", verify(said, accused), f"{accused.owner} signed two different messages of {place}")
    return verdict


def _holds(evidence: Mapping[str, Any], member: Member) -> bool:
    known = KnownKey(unb64(member.public), member.owner)
    kind = KIND.format(evidence["step"])
    bodies = [
        open_document(
            evidence[which], kind=kind, resolve=lambda kid: known if kid == member.kid else None, net=evidence["net"]
        ).body
        for which in ("first", "second")
    ]
    named = all(
        body[name] == evidence[name] and type(body[name]) is type(evidence[name])
        for body in bodies
        for name in ("round", "view", "step", "signer")
    )
    return named and evidence["step"] in STEPS and evidence["signer"] == member.owner and bodies[0] != bodies[1]
