"""What can go wrong in one simulated round, drawn from a seed."""

import base64
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from random import Random

from workers.consensus.committee import Committee, Member
from workers.consensus.machine import Timeouts
from workers.protocol.keys import kid_of

SIZES = (4, 4, 4, 4, 4, 4, 5, 5, 6, 7)
WEIGHTS = (250_000, 375_000, 400_000, 500_000)
COMMITTEES = 8
TIMEOUTS = Timeouts(gather_ms=60, propose_ms=160, vote_ms=40, grow_ms=25, resend_ms=180)
HONEST, SILENT, TWINS, LIAR, SCHEMER = ROLES = ("honest", "silent", "twins", "liar", "schemer")


@dataclass(frozen=True)
class Crash:
    """A machine dies in its call number `call`, with `sent` of that call's messages already out, for `down_ms`."""

    owner: int
    call: int
    sent: int
    down_ms: int


@dataclass
class Plan:
    """One scenario. Until `gst_ms` messages are lost, delayed and cut off; from then on they arrive within `calm_ms`.

    `roles`: what each owner is. `islands`: in successive periods before `gst_ms`, which group each owner is in.
    `hush`: the first to decide is cut off until `gst_ms`. `favour`: the owner who alone is told the liars' first
    precommits and whose own first precommit nobody hears before `gst_ms`.
    """

    seed: int
    committee: Committee
    roles: list[str]
    gst_ms: int = 0
    loss: float = 0.0
    delay_ms: int = 10
    calm_ms: int = 10
    islands: list[list[int]] = field(default_factory=list)
    crashes: list[Crash] = field(default_factory=list)
    hush: bool = False
    favour: int = -1
    forged: bool = False


@lru_cache(maxsize=256)
def committee(size: int, number: int) -> Committee:
    """One of a few committees of that size; the first has equal weights. Nothing can sign with these keys."""
    rng = Random(f"{size}/{number}")  # noqa: S311 - repeatable on purpose
    members = []
    for seat in range(size):
        public = sha256(f"seat {size} {number} {seat}".encode()).digest()
        weight = rng.choice(WEIGHTS) if number else WEIGHTS[0]
        members.append(Member(f"o{seat}", f"nod_{seat}", kid_of(public), base64.b64encode(public).decode(), weight))
    return Committee("simulated", f"rnd_{size}_{number}", tuple(members), "0" * 64)


def draw(seed: int) -> Plan:
    """The scenario of a seed: about a fifth of them calm, the rest with several faults at once."""
    rng = Random(seed)  # noqa: S311 - repeatable on purpose
    random = rng.random
    size = SIZES[int(random() * len(SIZES))]
    group = committee(size, int(random() * COMMITTEES))
    plan = Plan(seed, group, [HONEST] * size)
    if random() < 0.2:
        return plan
    if random() < 0.7:
        _corrupt(plan, rng)
    if SCHEMER in plan.roles:
        # A scheme needs a network that works for the schemer.
        plan.gst_ms, plan.hush, plan.favour = 900, True, int(random() * size)
        return plan
    plan.gst_ms = (0, 300, 600, 900)[int(random() * 4)]
    plan.loss = (0.0, 0.1, 0.3, 0.5)[int(random() * 4)]
    plan.delay_ms = (5, 20, 80)[int(random() * 3)]
    plan.hush = random() < 0.5
    plan.forged = random() < 0.1
    if random() < 0.3:
        plan.islands = [[int(random() * 2) for _ in range(size)] for _ in range(3)]
    if random() < 0.3:
        plan.crashes = [
            Crash(int(random() * size), int(random() * 30), int(random() * 3), 20 + int(random() * 200))
            for _ in range(1 + int(random() * 3))
        ]
    return plan


def _corrupt(plan: Plan, rng: Random) -> None:
    """Give a role to some owners, as many as leave an honest quorum."""
    group = plan.committee
    owners = list(range(len(group.members)))
    rng.shuffle(owners)
    honest = {member.owner for member in group.members}
    for owner in owners:
        name = group.members[owner].owner
        if not group.quorum(honest - {name}):
            continue
        honest.discard(name)
        plan.roles[owner] = ROLES[1 + int(rng.random() * 4)]
