"""Whole rounds in one process, from a seed: partitions, loss, delay, crashes and restarts, twins, lying leaders.

The machines are the real ones; only the signer is cheap (a keyed hash) and the network a queue. `run(seed)` returns
what was violated: agreement, validity of each certificate, no double signature by an honest member, nobody honest
accused, every double signature that an honest member saw reported, a decision by all honest members once the network
is calm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Any

from workers.consensus import certificate as certificates
from workers.consensus.committee import Committee
from workers.consensus.errors import Refused
from workers.consensus.journal import MemoryJournal
from workers.consensus.liars import Forgetful, NoJournal, Schemer, nothing, variant
from workers.consensus.machine import Machine, Step
from workers.consensus.messages import PRECOMMIT, PROPOSE, REVEAL, Message, Wire
from workers.consensus.scenarios import HONEST, LIAR, SCHEMER, SILENT, TIMEOUTS, TWINS, Crash, Plan, draw

ACTIONS = ("BUY", "BUY", "SELL", "HOLD")
Slot = tuple[str, int, str]
LIES: dict[str, type[Machine]] = {LIAR: Forgetful, SCHEMER: Schemer}
PATIENCE_MS = 20_000
SPARED = 0.9  # of the repetitions of what was heard already: they would teach nothing, and cost time
MOST_EVENTS = 60_000


class SimulatedCodec:
    """Keyed hashes for signatures, spelt-out text for hashes: fast, and no two things are the same."""

    def __init__(self, committee: Committee, rng: Random, honest: set[str]) -> None:
        self.secrets = {member.owner: int(rng.random() * 2**52) for member in committee.members}
        self.honest = honest
        self.signed: dict[tuple[str, int, str], Any] = {}
        self.doubled: list[str] = []

    def prepare(self, message: Message) -> None:
        """The digest of everything that the body would hold."""
        said: tuple[Any, ...] = (message.step, message.view, message.signer, message.value)
        if message.step == PROPOSE:
            data = message.data
            said += (data.commits_sha256, data.valid_view, *[wire[1] for wire in data.reveals])
        elif message.step == REVEAL:
            said += (message.data.salt, len(message.data.commits))
        message.digest = hash(said)

    def sign(self, message: Message) -> None:
        """A wire is (message, keyed hash); double signatures of the honest are noted."""
        signer = message.signer
        message.wire = (message, hash((self.secrets[signer], message.digest)))
        if signer in self.honest:
            slot = (signer, message.view, message.step)
            if self.signed.setdefault(slot, message.digest) != message.digest:
                self.doubled.append(f"honest {signer} signed twice in view {message.view}, {message.step}")

    def open(self, wire: Wire) -> Message:
        """See Codec."""
        message: Message = wire[0]
        if wire[1] != hash((self.secrets.get(message.signer), message.digest)):
            raise Refused("bad_signature")
        return message

    def commitment(self, signer: str, salt: str, observation: Mapping[str, Any]) -> str:
        """See Codec."""
        return f"{signer}/{salt}/{observation['action']}/{observation['price']}/{observation['confidence_bp']}"

    def set_hash(self, commits: Mapping[str, str]) -> str:
        """See Codec."""
        return "|".join(sorted(commits.values()))

    def value(self, outcome: Mapping[str, Any]) -> str:
        """See Codec."""
        return f"{outcome['action']}/{outcome['price']}/{outcome['confidence_bp']}"


@dataclass
class Report:
    """What one scenario led to. `violations` is empty, or the machines are wrong."""

    seed: int
    violations: list[str] = field(default_factory=list)
    decided: int = 0
    view: int = 0
    evidence: int = 0
    at_ms: int = 0


class Seat:
    """One running machine: an owner's, or one of its twins."""

    __slots__ = (
        "begin",
        "calls",
        "crashes",
        "down",
        "honest",
        "journal",
        "machine",
        "member",
        "reported",
        "seen",
        "side",
        "wake",
    )

    def __init__(self, member: int, machine: Machine, journal: Any, begin: tuple[dict[str, Any], bytes]) -> None:
        self.member = member
        self.machine = machine
        self.journal = journal
        self.begin = begin
        self.calls = 0
        self.crashes: list[Crash] = []
        self.down = False
        self.honest = True
        self.seen: dict[Slot, Any] = {}
        self.reported: set[Slot] = set()
        self.side: int | None = None
        self.wake = -1


def slots_of(step: Step) -> set[Slot]:
    """Whose double signatures a step proves, and where."""
    return {(found["signer"], found["view"], found["step"]) for found in step.evidence}


class Simulation:
    """One scenario being played. `machine` and `committee` are for tests that break a rule on purpose."""

    def __init__(self, plan: Plan, machine: type[Machine] = Machine, committee: Committee | None = None) -> None:
        self.plan = plan
        self.kind = machine
        self.used = committee or plan.committee
        self.rng = Random(plan.seed ^ 0x5EED)  # noqa: S311 - repeatable on purpose
        names = [member.owner for member in plan.committee.members]
        honest = {name for name, role in zip(names, plan.roles, strict=True) if role == HONEST}
        self.codec = SimulatedCodec(plan.committee, self.rng, honest)
        self.honest = honest
        self.report = Report(plan.seed)
        self.queue: list[tuple[int, int, Seat, Any]] = []
        self.count = 0
        self.now = 0
        self.outcome: str | None = None
        self.undecided = len(honest)
        self.hushed: Seat | None = None
        self.islands = plan.islands
        self.period = max(1, plan.gst_ms // max(1, len(plan.islands)))
        self.seats = [
            self._seat(number, name, role, side)
            for number, (name, role) in enumerate(zip(names, plan.roles, strict=True))
            if role != SILENT
            for side in ((0, 1) if role == TWINS else (None,))
        ]
        for crash in plan.crashes:
            for seat in self.seats:
                if seat.member == crash.owner and seat.honest:
                    seat.crashes.append(crash)

    def _seat(self, number: int, name: str, role: str, side: int | None) -> Seat:
        random = self.rng.random
        observation = {
            "symbol": "BTC-USD",
            "action": ACTIONS[int(random() * 4)],
            "horizon_s": 900,
            "confidence_bp": 5_500 + int(random() * 3_000),
            "price": str(10**12 + int(random() * 10**6)),
        }
        journal = NoJournal() if role in LIES else MemoryJournal()
        kind = LIES.get(role, self.kind)
        machine = kind(self.used, name, self.codec, journal, TIMEOUTS)
        seat = Seat(number, machine, journal, (observation, bytes([number, side or 0])))
        seat.honest, seat.side = role == HONEST, side
        return seat

    def run(self) -> Report:
        """Play until every honest member has decided, or patience ends."""
        for seat in self.seats:
            self._after(seat, seat.machine.begin(*seat.begin, now_ms=0))
        if self.plan.forged:
            self._forge()
        limit = self.plan.gst_ms + PATIENCE_MS
        queue = self.queue
        while queue and self.undecided and self.count < MOST_EVENTS:
            self.now, _, seat, wire = heappop(queue)
            if self.now > limit:
                break
            self._deliver(seat, wire)
        report = self.report
        if self.undecided:
            report.violations.append(f"{self.undecided} honest members undecided at {self.now} ms")
        report.violations += self.codec.doubled
        report.at_ms = self.now
        report.view = max(seat.machine.view for seat in self.seats)
        return report

    def _deliver(self, seat: Seat, wire: Any) -> None:
        """One event: a message, a certificate, a timer (None), a restart (False)."""
        machine, now = seat.machine, self.now
        if seat.down:
            if wire is False:
                self._restart(seat)
            return
        if wire is None:
            if seat.wake == now:
                seat.wake = -1
                self._after(seat, machine.tick(now))
        elif type(wire) is tuple:
            if machine.certificate is not None:
                self._help(seat, wire[0].signer)
                return
            step = machine.receive(wire, now)
            if seat.honest and wire[0].signer not in self.honest:
                self._watch(seat, wire[0], step)
            self._after(seat, step)
        elif wire is not False:
            self._after(seat, machine.learn(wire, now))

    def _watch(self, seat: Seat, message: Message, step: Step) -> None:
        """A second message in a slot of which the first was taken must have become evidence."""
        slot = (message.signer, message.view, message.step)
        first = seat.seen.get(slot)
        if first is None:
            if step.refused is None:
                seat.seen[slot] = message.digest
        elif first != message.digest and slot not in seat.reported and slot not in slots_of(step):
            self.report.violations.append(f"{seat.machine.owner} did not report the double signature {slot}")

    def _after(self, seat: Seat, step: Step) -> None:
        """Send what a call returned, unless the machine died in it."""
        messages, wake, certificate, evidence, _ = step
        seat.calls += 1
        if evidence:
            self._accuse(evidence)
            seat.reported |= slots_of(step)
        if seat.crashes and any(crash.call == seat.calls for crash in seat.crashes) and certificate is None:
            crash = next(crash for crash in seat.crashes if crash.call == seat.calls)
            self._send(seat, messages[: crash.sent])
            seat.down = True
            seat.seen.clear()
            seat.reported.clear()
            self._push(self.now + crash.down_ms, seat, False)
            return
        if messages:
            self._send(seat, messages)
        if certificate is not None:
            self._decided(seat, certificate)
        elif wake is not None and (seat.wake < 0 or wake < seat.wake):
            seat.wake = wake
            self._push(max(wake, self.now), seat, None)

    def _push(self, at: int, seat: Seat, what: Any) -> None:
        self.count += 1
        heappush(self.queue, (at, self.count, seat, what))

    def _restart(self, seat: Seat) -> None:
        """A new machine with the old journal; what it would observe now is something else."""
        seat.down, seat.wake = False, -1
        seat.machine = type(seat.machine)(self.used, seat.machine.owner, self.codec, seat.journal, TIMEOUTS)
        observation, salt = seat.begin
        self._after(seat, seat.machine.begin({**observation, "action": "SELL"}, salt + b"!", self.now))

    def _send(self, seat: Seat, messages: list[Wire]) -> None:
        for wire in messages:
            if isinstance(seat.machine, Forgetful) and wire[0].signer == seat.machine.owner:
                self._lie(seat, wire)
            else:
                for other in self.seats:
                    if other.member != seat.member:
                        self._post(seat, other, wire)

    def _lie(self, seat: Seat, wire: Wire) -> None:
        """One half is told this, the other half something else."""
        if isinstance(seat.machine, Schemer):
            self._scheme(seat, wire)
            return
        other_wire = variant(seat.machine, wire[0], self.rng)
        for other in self.seats:
            if other.member != seat.member:
                self._post(seat, other, wire if self.rng.random() < 0.5 else other_wire)
                if self.rng.random() < 0.2:
                    self._post(seat, other, other_wire)

    def _scheme(self, seat: Seat, wire: Wire) -> None:
        """Only the favoured member hears of the first precommit; the others are told that there is none."""
        message, favour = wire[0], self.plan.favour
        split = message.step == PRECOMMIT and message.view == 0 and message.value
        told = nothing(seat.machine, message) if split else wire
        for other in self.seats:
            if other.member != seat.member:
                self._post(seat, other, wire if other.member == favour else told)

    def _post(self, sender: Seat, to: Seat, wire: Any) -> None:
        """Put a message on its way, or lose it."""
        plan, now, random = self.plan, self.now, self.rng.random
        if type(wire) is tuple and wire[0].digest in to.machine.heard and random() < SPARED:
            return
        if now >= plan.gst_ms:
            self._push(now + 1 + int(random() * plan.calm_ms), to, wire)
            return
        if plan.loss and random() < plan.loss:
            return
        if self.islands:
            island = self.islands[min(now // self.period, len(self.islands) - 1)]
            if island[sender.member] != island[to.member]:
                return
        if self.hushed is sender or self.hushed is to:
            return
        if sender.member == plan.favour and type(wire) is tuple and wire[0].step == PRECOMMIT:
            return
        if sender.side is not None and to.member % 2 != sender.side:
            return
        self._push(now + 1 + int(random() * plan.delay_ms), to, wire)

    def _help(self, seat: Seat, owner: str) -> None:
        """Whoever has decided answers with the certificate."""
        for other in self.seats:
            if other.machine.owner == owner and other.machine.certificate is None and not other.down:
                self._post(seat, other, seat.machine.certificate)

    def _decided(self, seat: Seat, certificate: dict[str, Any]) -> None:
        seat.wake = -1
        if not seat.honest:
            return
        self.undecided -= 1
        self._check(certificate)
        if self.plan.hush and self.hushed is None and self.now < self.plan.gst_ms:
            self.hushed = seat
        for other in self.seats:
            if other is not seat and other.machine.certificate is None:
                self._post(seat, other, certificate)

    def _check(self, certificate: dict[str, Any]) -> None:
        """The certificate proves itself to the true committee, and says what all others say."""
        value = self.codec.value(certificate["outcome"])
        if self.outcome is None:
            self.outcome = value
        elif value != self.outcome:
            self.report.violations.append(f"two outcomes are certified: {self.outcome} and {value}")
        try:
            owners = certificates.signers(certificate["precommits"], value, self.codec)
        except Refused as error:
            self.report.violations.append(f"a certificate does not hold: {error.code}")
            return
        self.report.decided += 1
        if not self.plan.committee.quorum(owners):
            self.report.violations.append(f"a certificate of {len(owners)} owners lacks a quorum")

    def _accuse(self, evidence: list[dict[str, Any]]) -> None:
        self.report.evidence += len(evidence)
        for found in evidence:
            if found["signer"] in self.honest:
                self.report.violations.append(f"honest {found['signer']} is accused")

    def _forge(self) -> None:
        """Somebody without the keys sends what every member would have sent."""
        for seat in self.seats:
            for member in self.plan.committee.members:
                message = Message("precommit", 0, member.owner, "forged")
                message.digest = hash(("forged", member.owner))
                self._push(self.now, seat, (message, hash((0, message.digest))))


def run(seed: int) -> Report:
    """Draw the scenario of a seed and play it."""
    return Simulation(draw(seed)).run()
