"""The proof that a committee agreed on one outcome: made of precommits, checked with nothing but itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workers.consensus.committee import Committee, Member
from workers.consensus.errors import ConsensusError, Refused
from workers.consensus.messages import PRECOMMIT, Codec, DsseCodec, Wire
from workers.protocol.errors import ProtocolError

FIELDS = {
    "net",
    "round",
    "subject_sha256",
    "weights_sha256",
    "members",
    "block",
    "outcome",
    "precommits",
}
OUTCOME_FIELDS = {"symbol", "action", "horizon_s", "confidence_bp", "price", "round"}
UNPINNED = "the block hash that the certificate itself names (pin it to leave the certificate out of it)"
TRUSTS = (
    "Trusts whoever admitted these owners to the committee, at these weights, under the ledger's block {block}; "
    "and {pinned}."
)

Certificate = dict[str, Any]


@dataclass
class Verdict:
    """Each check with its outcome; the certificate holds only if all do. `trusts` says what was taken on trust."""

    checks: list[tuple[str, bool, str]] = field(default_factory=list)
    trusts: str = ""

    def add(self, name: str, ok: bool, detail: str) -> bool:
        """Note one check."""
        self.checks.append((name, ok, detail))
        return ok

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return bool(self.checks) and all(ok for _, ok, _ in self.checks)


def looks_like(document: Any) -> bool:
    """Whether this JSON is meant as a certificate."""
    return isinstance(document, Mapping) and "precommits" in document and "weights_sha256" in document


def make(committee: Committee, outcome: Mapping[str, Any], precommits: Sequence[Wire]) -> Certificate:
    """The certificate; whether the precommits suffice is the caller's to know."""
    return {
        "net": committee.net,
        "round": committee.round,
        "subject_sha256": committee.subject_sha256,
        "weights_sha256": committee.weights_sha256,
        "members": committee.seats,
        "block": {"height": committee.block_height, "hash": committee.block_hash},
        "outcome": dict(outcome),
        "precommits": list(precommits),
    }


def committee_of(certificate: Mapping[str, Any]) -> Committee:
    """The committee that a certificate names; raises CommitteeRefused, KeyError or TypeError."""
    return Committee(
        net=certificate["net"],
        round=certificate["round"],
        members=tuple(Member.load(member) for member in certificate["members"]),
        subject_sha256=certificate["subject_sha256"],
        block_height=certificate["block"]["height"],
        block_hash=certificate["block"]["hash"],
    )


def signers(precommits: Sequence[Wire], value: str, codec: Codec) -> set[str]:
    """Who precommitted to the value, all in one view; raises Refused if one did not, or two are by one signer."""
    messages = [codec.open(wire) for wire in precommits]
    owners = {message.signer for message in messages}
    if len(owners) != len(messages):
        raise Refused("signed_twice")
    if len({message.view for message in messages}) > 1:
        raise Refused("several_views")
    for message in messages:
        if message.step != PRECOMMIT or message.value != value:
            raise Refused("other_value", f"{message.signer} signed something else")
    return owners


def verify(certificate: Mapping[str, Any], *, pinned_block_hash: str | None = None) -> Verdict:
    """Check a certificate with itself alone and, where given, the hash of the ledger's block that the caller trusts."""
    verdict = Verdict()
    try:
        _verify(certificate, pinned_block_hash, verdict)
    except (ConsensusError, ProtocolError, KeyError, TypeError, ValueError, AttributeError) as error:
        verdict.add("shape", False, f"the certificate is not whole: {type(error).__name__}: {error}")
    return verdict


def _verify(certificate: Mapping[str, Any], pinned: str | None, verdict: Verdict) -> None:
    if set(certificate) != FIELDS or set(certificate["block"]) != {"height", "hash"}:
        raise ValueError(f"it has the fields {', '.join(sorted(certificate))}")
    block = certificate["block"]
    verdict.trusts = TRUSTS.format(
        block=f"{block['height']} ({str(block['hash'])[:16]}…)",
        pinned=UNPINNED if pinned is None else "the block hash given by you",
    )
    committee = committee_of(certificate)
    weights = committee.weights_sha256
    verdict.add("committee", True, f"{len(committee.members)} owners, one seat each, total weight {committee.total}")
    verdict.add("weights", weights == certificate["weights_sha256"], f"hash {weights[:16]}…")
    verdict.add(
        "block",
        pinned is None or block["hash"] == pinned,
        f"weights frozen under block {block['height']}, hash {str(block['hash'])[:16]}…"
        + (" (not pinned)" if pinned is None else " (pinned)"),
    )
    outcome = certificate["outcome"]
    shaped = set(outcome) == OUTCOME_FIELDS and outcome["round"] == committee.round
    verdict.add("outcome", shaped, f"{outcome.get('action')} {outcome.get('symbol')} in round {committee.round}")
    codec = DsseCodec(committee)
    try:
        owners = signers(certificate["precommits"], codec.value(outcome), codec)
    except Refused as error:
        verdict.add("signatures", False, f"{error.code}: {error.detail}")
        return
    verdict.add("signatures", True, f"{len(owners)} owners signed this outcome, each once")
    weight = sum(committee.weights[owner] for owner in owners)
    of_owners = f"{len(owners)} of {len(committee.members)} owners ({committee.need} needed)"
    of_weight = f"{weight} of {committee.total} weight (more than 2/3 needed)"
    verdict.add("quorum", committee.quorum(owners), f"{of_owners}, {of_weight}")
