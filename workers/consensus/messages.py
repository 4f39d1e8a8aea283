"""The five messages of a round, and how they travel: signed documents of the kinds `consensus.<step>`."""

import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from workers.consensus.committee import Committee
from workers.consensus.errors import Refused
from workers.consensus.outcome import Outcome
from workers.protocol import canonical
from workers.protocol.envelope import KnownKey, open_document, unverified_payload
from workers.protocol.errors import ProtocolError
from workers.protocol.keys import unb64

COMMIT, REVEAL, PROPOSE, PREVOTE, PRECOMMIT = STEPS = ("commit", "reveal", "propose", "prevote", "precommit")
KIND = "consensus.{}"
NIL = ""
SALT_BYTES = 32
MOST_OPENED = 4096

Wire = Any
Sign = Callable[[str, dict[str, Any]], dict[str, Any]]
View = Annotated[int, Meta(ge=0, le=1_000_000)]
Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
Word = Annotated[str, Meta(max_length=200)]
Wires = Annotated[list[dict[str, Any]], Meta(max_length=256)]


class Reveal(NamedTuple):
    """What a reveal opens: the salt (64 hex digits), the observation; the leader's also carries the commit set."""

    salt: str
    observation: dict[str, Any]
    commits: Sequence[Wire]


class Proposal(NamedTuple):
    """An outcome with all that proves it: commits, reveals, and the prevotes of the view in which it was valid."""

    commits_sha256: str
    commits: Sequence[Wire]
    reveals: Sequence[Wire]
    outcome: Outcome
    valid_view: int
    prevotes: Sequence[Wire]


class Message:
    """One message, opened. `value` is the commitment, the commit set's hash, or the hash of the outcome voted for."""

    __slots__ = ("data", "digest", "opened", "signer", "step", "value", "view", "wire")

    def __init__(self, step: str, view: int, signer: str, value: str, data: Any = None) -> None:
        self.step = step
        self.view = view
        self.signer = signer
        self.value = value
        self.data = data
        self.digest: Any = None
        self.wire: Wire = None
        self.opened: str | None = None  # the commitment that a reveal was found to open: found once, true for ever


class Codec(Protocol):
    """Signing, opening and hashing: Ed25519 and SHA-256 here, something cheap in the simulator."""

    def prepare(self, message: Message) -> None:
        """Set the digest of an own message, before the journal is asked."""

    def sign(self, message: Message) -> None:
        """Set the wire form of an own message."""

    def open(self, wire: Wire) -> Message:
        """The message, its signature and shape checked; raises Refused."""

    def commitment(self, signer: str, salt: str, observation: Mapping[str, Any]) -> str:
        """What a commit says about an observation."""

    def set_hash(self, commits: Mapping[str, str]) -> str:
        """The hash of a commit set {owner: commitment}."""

    def value(self, outcome: Outcome) -> str:
        """What votes say for an outcome."""


class _Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    round: Word
    view: View
    step: Word
    signer: Word


class _Commit(_Body):
    commitment: Hash


class _Reveal(_Body):
    commits_sha256: Hash
    commits: Wires
    salt: Hash
    observation: dict[str, Any]


class _Propose(_Body):
    commits_sha256: Hash
    commits: Wires
    reveals: Wires
    outcome: dict[str, Any]
    valid_view: Annotated[int, Meta(ge=-1, le=1_000_000)]
    prevotes: Wires


class _Vote(_Body):
    value: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$", max_length=64)]


SHAPES: dict[str, type[_Body]] = {
    COMMIT: _Commit,
    REVEAL: _Reveal,
    PROPOSE: _Propose,
    PREVOTE: _Vote,
    PRECOMMIT: _Vote,
}


def commitment(committee: Committee, signer: str, salt: str, observation: Mapping[str, Any]) -> str:
    """SHA-256 over salt (64 hex digits), network, round, signer and observation."""
    said = {
        "salt": salt,
        "net": committee.net,
        "round": committee.round,
        "signer": signer,
        "observation": dict(observation),
    }
    return sha256(canonical.dumps(said)).hexdigest()


def value_of(committee: Committee, outcome: Mapping[str, Any]) -> str:
    """What votes sign: the outcome bound to network, round, subject, weights and block."""
    said = {
        "net": committee.net,
        "round": committee.round,
        "subject_sha256": committee.subject_sha256,
        "weights_sha256": committee.weights_sha256,
        "block": {"height": committee.block_height, "hash": committee.block_hash},
        "outcome": dict(outcome),
    }
    return sha256(canonical.dumps(said)).hexdigest()


def new_salt() -> bytes:
    """256 random bits."""
    return os.urandom(SALT_BYTES)


class DsseCodec:
    """Messages as documents signed with Ed25519.

    `sign(kind, body)` returns the signed document; a codec without it only opens.
    """

    def __init__(self, committee: Committee, sign: Sign | None = None) -> None:
        self.committee = committee
        self._sign = sign
        self._keys = {member.kid: KnownKey(unb64(member.public), member.owner) for member in committee.members}
        self._opened: dict[str, Message] = {}

    def prepare(self, message: Message) -> None:
        """See Codec."""
        body = body_of(self.committee.round, message)
        message.digest = sha256(canonical.dumps(body)).hexdigest()

    def sign(self, message: Message) -> None:
        """See Codec."""
        if self._sign is None:
            raise Refused("cannot_sign")
        message.wire = self._sign(KIND.format(message.step), body_of(self.committee.round, message))
        self._remember(message)

    def open(self, wire: Wire) -> Message:
        """See Codec. Codes: those of the protocol (`unknown_key`: not of the committee), and malformed, wrong_signer,
        wrong_round.
        """
        known = self._opened.get(_signature(wire))
        if known is not None and known.wire == wire:
            return known
        message = self._read(wire)
        message.wire = dict(wire)
        self._remember(message)
        return message

    def _remember(self, message: Message) -> None:
        """So that what stands inside other messages is not verified again."""
        if len(self._opened) < MOST_OPENED:
            self._opened[_signature(message.wire)] = message

    def _read(self, wire: Wire) -> Message:
        try:
            kind = unverified_payload(wire).get("kind")
            step = str(kind).removeprefix("consensus.")
            if step not in SHAPES or kind != KIND.format(step):
                raise Refused("wrong_kind")
            opened = open_document(wire, kind=KIND.format(step), resolve=self._keys.get, net=self.committee.net)
            body = msgspec.convert(opened.body, SHAPES[step])
        except ProtocolError as error:
            raise Refused(error.code, error.detail) from error
        except msgspec.ValidationError as error:
            raise Refused("malformed", str(error)) from error
        if body.signer != opened.sender:
            raise Refused("wrong_signer", f"{opened.sender} signed as {body.signer}")
        if body.round != self.committee.round:
            raise Refused("wrong_round")
        if body.step != step or (step == COMMIT and body.view):
            raise Refused("malformed")
        message = self._message(body)
        message.digest = sha256(canonical.dumps(opened.body)).hexdigest()
        return message

    def _message(self, body: _Body) -> Message:
        """The message that a checked body says."""
        value = ""
        data: Reveal | Proposal | None = None
        if isinstance(body, _Commit):
            value = body.commitment
        elif isinstance(body, _Reveal):
            value, data = body.commits_sha256, Reveal(body.salt, body.observation, body.commits)
        elif isinstance(body, _Propose):
            data = Proposal(
                body.commits_sha256, body.commits, body.reveals, body.outcome, body.valid_view, body.prevotes
            )
            value = self.value(body.outcome)
        elif isinstance(body, _Vote):
            value = body.value
        return Message(body.step, body.view, body.signer, value, data)

    def commitment(self, signer: str, salt: str, observation: Mapping[str, Any]) -> str:
        """See Codec."""
        return commitment(self.committee, signer, salt, observation)

    def set_hash(self, commits: Mapping[str, str]) -> str:
        """See Codec."""
        said = {"net": self.committee.net, "round": self.committee.round, "commits": dict(commits)}
        return sha256(canonical.dumps(said)).hexdigest()

    def value(self, outcome: Outcome) -> str:
        """See Codec."""
        return value_of(self.committee, outcome)


def body_of(round_id: str, message: Message) -> dict[str, Any]:
    """The body that is signed."""
    body: dict[str, Any] = {
        "round": round_id,
        "view": message.view,
        "step": message.step,
        "signer": message.signer,
    }
    if message.step == COMMIT:
        body["commitment"] = message.value
    elif message.step == REVEAL:
        body |= {"commits_sha256": message.value, **message.data._asdict()}
    elif message.step == PROPOSE:
        body |= message.data._asdict()
    else:
        body["value"] = message.value
    return body


def _signature(wire: Wire) -> str:
    """The signature that a document claims to have; empty if it has none."""
    try:
        return str(wire["signatures"][0]["sig"])
    except (TypeError, KeyError, IndexError):
        return ""
