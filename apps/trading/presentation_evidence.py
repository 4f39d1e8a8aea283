"""What the page of filed evidence shows: the two signed messages, whose they are, and what came of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.core.models import FaultEvidence
from apps.trading import faults
from apps.trading.models import Round
from apps.trading.presentation import body
from apps.trading.rounds import frozen
from workers.consensus import evidence as proofs
from workers.consensus.errors import CommitteeRefused
from workers.protocol import canonical
from workers.protocol.clock import from_unix_ms
from workers.protocol.envelope import unverified_payload
from workers.protocol.errors import ProtocolError

LONGEST = 300
PLACE = {"round", "view", "step", "signer"}


@dataclass(frozen=True)
class Signed:
    """One of the two: what it says beside its place, by whose key, when by the signer's clock, and its signature."""

    says: list[tuple[str, str]]
    key: str
    at: datetime | None
    signature: str


def signed(envelope: Any) -> Signed:
    """A message as the page prints it; empty where it is none."""
    if not isinstance(envelope, Mapping):
        return Signed([], "", None, "")
    says = [(name, cut(value)) for name, value in body(envelope).items() if name not in PLACE]
    try:
        issued = unverified_payload(envelope).get("issued_at")
        one = envelope["signatures"][0]
        key, signature = str(one["keyid"]), str(one["sig"])
    except (ProtocolError, KeyError, IndexError, TypeError):
        issued, key, signature = None, "", ""
    return Signed(says, key, from_unix_ms(issued) if isinstance(issued, int) and issued else None, signature)


def cut(value: Any) -> str:
    """A value on one line, whole if it is short."""
    text = value if isinstance(value, str) else canonical.dumps(value).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def detail(row: FaultEvidence) -> dict[str, Any]:
    """The context of the page."""
    said = row.evidence
    played = Round.objects.filter(pk=str(said.get("round", ""))).first()
    member = next((one for one in played.members if one["owner"] == row.accused), None) if played else None
    return {
        "row": row,
        "said": said,
        "round": played,
        "member": member,
        # Not "messages": the layout shows those as toasts.
        "both": [signed(said.get(which)) for which in ("first", "second")],
        "file": filename(row),
        "whole": file_of(row) is not None,
    }


def filename(row: FaultEvidence) -> str:
    """What the evidence is saved as."""
    return f"{row.digest[:16]}.evidence.json"


def file_of(row: FaultEvidence) -> dict[str, Any] | None:
    """The evidence as `mesh verify` takes it; None where it is not that of a round."""
    said = row.evidence
    played = Round.objects.filter(pk=str(said.get("round", ""))).first()
    if played is None or set(said) != proofs.FIELDS:
        return None
    try:
        return proofs.document(f"equivocation:{faults.digest_of(said)}", said, frozen(played).members)
    except CommitteeRefused:
        return None
