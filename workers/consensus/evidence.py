"""Proof that one signer signed two different messages for the same round, view and step."""

from collections.abc import Mapping
from typing import Any

from workers.consensus.committee import Member
from workers.consensus.messages import KIND, STEPS, Message
from workers.protocol.envelope import KnownKey, open_document, unverified_payload
from workers.protocol.errors import ProtocolError
from workers.protocol.keys import unb64

Evidence = dict[str, Any]

FIELDS = {"net", "round", "view", "step", "signer", "first", "second"}


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
