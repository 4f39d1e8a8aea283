"""Who votes in a round and with what weight, frozen when the round starts; one seat per owner."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

from workers.consensus.errors import CommitteeRefused
from workers.protocol import canonical
from workers.protocol.errors import ProtocolError
from workers.protocol.keys import KEY_BYTES, kid_of, unb64

FEWEST = 4
LARGEST_WEIGHT = 2**40


@dataclass(frozen=True)
class Member:
    """One seat: its owner, the node that sits on it, that node's Ed25519 key (base64) and the weight, above 0."""

    owner: str
    node: str
    kid: str
    public: str
    weight: int

    @classmethod
    def load(cls, value: Mapping[str, Any]) -> "Member":
        """From its JSON form; raises CommitteeRefused for any other field or type."""
        texts = ("owner", "node", "kid", "public")
        if set(value) != {*texts, "weight"} or not all(isinstance(value[name], str) for name in texts):
            raise CommitteeRefused("A member has owner, node, kid, public and weight.")
        return cls(**value)


def weights_sha256(members: Iterable[Member]) -> str:
    """The hash of all seats, in the order of their owners: 64 hex digits."""
    seats = [asdict(member) for member in sorted(members, key=lambda member: member.owner)]
    return sha256(canonical.dumps(seats)).hexdigest()


@dataclass(frozen=True)
class Committee:
    """A round's members, what they are asked (`subject_sha256`) and the sealed block the weights were frozen under.

    `seats` is the members as JSON, `weights_sha256` the hash of it that the round's start and every certificate carry.
    """

    net: str
    round: str
    members: tuple[Member, ...]
    subject_sha256: str
    block_height: int = 0
    block_hash: str = ""
    by_owner: dict[str, Member] = field(init=False, repr=False, compare=False)
    weights: dict[str, int] = field(init=False, repr=False, compare=False)
    total: int = field(init=False, repr=False, compare=False)
    need: int = field(init=False, repr=False, compare=False)
    order: tuple[str, ...] = field(init=False, repr=False, compare=False)
    seats: list[dict[str, Any]] = field(init=False, repr=False, compare=False)
    weights_sha256: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        members = tuple(sorted((_checked(member) for member in self.members), key=lambda member: member.owner))
        if len(members) < FEWEST:
            raise CommitteeRefused(f"A committee has at least {FEWEST} members; there are {len(members)}.")
        for name in ("owner", "node", "kid", "public"):
            if len({getattr(member, name) for member in members}) != len(members):
                raise CommitteeRefused(f"Two members have the same {name}.")
        start = int.from_bytes(sha256(f"{self.net}/{self.round}".encode()).digest()[:8], "big") % len(members)
        owners = [member.owner for member in members]
        derived: dict[str, Any] = {
            "members": members,
            "by_owner": {member.owner: member for member in members},
            "weights": {member.owner: member.weight for member in members},
            "total": sum(member.weight for member in members),
            "need": 2 * len(members) // 3 + 1,
            "order": tuple(owners[start:] + owners[:start]),
            "seats": [asdict(member) for member in members],
            "weights_sha256": weights_sha256(members),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def reached(self, weight: int, owners: int) -> bool:
        """Whether that much weight of that many owners is a quorum: more than 2/3 of the weight, ⌊2n/3⌋+1 owners."""
        return 3 * weight > 2 * self.total and owners >= self.need

    def quorum(self, owners: Iterable[str]) -> bool:
        """Whether these owners, members all and each counted once, are a quorum."""
        signed = set(owners)
        if not signed <= self.weights.keys():
            return False
        return self.reached(sum(self.weights[owner] for owner in signed), len(signed))

    def leader(self, view: int) -> str:
        """The owner who proposes in a view; the first is given by the round's id, then they take turns."""
        return self.order[view % len(self.order)]


def _checked(member: Member) -> Member:
    """The member, if its weight and its key can be used."""
    if isinstance(member.weight, bool) or not isinstance(member.weight, int):
        raise CommitteeRefused(f"The weight of {member.owner} is not a whole number.")
    if not 0 < member.weight <= LARGEST_WEIGHT:
        raise CommitteeRefused(f"The weight of {member.owner} is {member.weight}.")
    try:
        public = unb64(member.public)
    except ProtocolError as error:
        raise CommitteeRefused(f"The key of {member.owner} is not base64.") from error
    if len(public) != KEY_BYTES or kid_of(public) != member.kid:
        raise CommitteeRefused(f"The key of {member.owner} does not have the id {member.kid}.")
    return member
