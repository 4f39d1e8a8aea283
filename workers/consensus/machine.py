"""One oracle in one round: (state, message, clock) → (state, messages).

Commit, reveal, then views of propose, prevote and precommit with locks, after Tendermint (arXiv 1807.04938): a machine
locks on a prevote quorum and gives the lock up only for a prevote quorum of a newer view. The leader rotates with the
view and timeouts grow. The caller sends `Step.messages` to every other member, calls `tick` at `wake_at_ms`, and may
lose, delay, repeat and reorder anything.

Nobody reveals before a quorum has committed. After a view change a leader may announce a commit set with a commit that
came after somebody's reveal: waiting for it is what lets slow members count, and its one weight is all it can add.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from workers.consensus import certificate as certificates
from workers.consensus.committee import Committee
from workers.consensus.errors import DoubleSign, Refused
from workers.consensus.evidence import Evidence
from workers.consensus.gathering import Gathering
from workers.consensus.journal import Journal
from workers.consensus.messages import COMMIT, NIL, PRECOMMIT, PREVOTE, PROPOSE, REVEAL, Codec, Message, Reveal, Wire
from workers.consensus.outcome import check
from workers.consensus.views import Views

ORDER = {PROPOSE: 0, PREVOTE: 1, PRECOMMIT: 2}


@dataclass(frozen=True)
class Timeouts:
    """Milliseconds. Waits for everybody's commits and reveals, for each step (growing by `grow_ms` a view), resends."""

    gather_ms: int = 1_500
    propose_ms: int = 4_000
    vote_ms: int = 1_000
    grow_ms: int = 500
    resend_ms: int = 1_000


class Step(NamedTuple):
    """What a call led to. `certificate` stays set once decided: whoever still sends messages needs it."""

    messages: list[Wire]
    wake_at_ms: int | None
    certificate: dict[str, Any] | None
    evidence: list[Evidence]
    refused: str | None


class Machine(Views):
    """The state machine. `refused` counts refusals by code; `view` and `step` say where it stands."""

    def __init__(
        self, committee: Committee, owner: str, codec: Codec, journal: Journal, timeouts: Timeouts | None = None
    ) -> None:
        super().__init__(committee, Gathering(committee, codec), codec)
        self.owner = owner
        self.journal = journal
        self.timeouts = timeouts or Timeouts()
        self.refused: Counter[str] = Counter()
        self.certificate: dict[str, Any] | None = None
        self.timers: dict[str, int] = {}
        self.now = 0
        self.begun = False
        self.salt = ""
        self.observation: dict[str, Any] = {}
        self.locked_view = self.valid_view = -1
        self.locked_value = self.valid_value = NIL
        self.own: list[Message] = []
        self.proof: list[Wire] = []
        self._out: list[Wire] = []

    # What the caller calls.

    def begin(self, observation: dict[str, Any], salt: bytes, now_ms: int) -> Step:
        """Start, or start again after a restart: then the journal's observation and salt count, not these."""
        self.now = now_ms
        entries = self.journal.restore(self.committee.round)
        begun = next((entry["begin"] for entry in entries if isinstance(entry, dict) and "begin" in entry), None)
        if begun is None:
            begun = {"observation": check(observation), "salt": salt.hex()}
            self.journal.keep(self.committee.round, {"begin": begun})
        self.observation, self.salt = begun["observation"], begun["salt"]
        self.gathering.about = (self.observation["symbol"], self.observation["horizon_s"])
        self.begun = True
        self._enter(0, [])
        self._restore([entry for entry in entries if not (isinstance(entry, dict) and "begin" in entry)])
        self.timers["resend"] = now_ms + self.timeouts.resend_ms
        if self.owner not in self.gathering.commits:
            commitment = self.codec.commitment(self.owner, self.salt, self.observation)
            self._say(Message(COMMIT, 0, self.owner, commitment))
        self._advance()
        return self._done(None)

    def receive(self, wire: Wire, now_ms: int) -> Step:
        """Take one message of another member. A refused one changes nothing; `Step.refused` says why."""
        self.now = now_ms
        if self.certificate is not None:
            self.refused["late"] += 1
            return self._done("late")
        code = None
        try:
            message = self.codec.open(wire)
            if message.digest in self.heard:
                self.refused["duplicate"] += 1
                return self._done("duplicate")
            self._accept(message)
        except Refused as error:
            code = error.code
            self.refused[code] += 1
        if self.begun:
            self._advance()
        return self._done(code)

    def learn(self, certificate: dict[str, Any], now_ms: int) -> Step:
        """Take a certificate that somebody else made; refused (`bad_certificate`) unless it proves itself."""
        self.now = now_ms
        if self.certificate is not None:
            return self._done(None)
        try:
            self._learn(certificate)
        except (Refused, KeyError, TypeError, AttributeError):
            self.refused["bad_certificate"] += 1
            return self._done("bad_certificate")
        self._decided(certificate)
        return self._done(None)

    def tick(self, now_ms: int) -> Step:
        """The clock moved to or past `wake_at_ms`."""
        self.now = now_ms
        for name in [name for name, due in self.timers.items() if due <= now_ms]:
            self.timers.pop(name, None)
            if name == "resend":
                self._out.extend(self.proof)
                self._out.extend(message.wire for message in self._resent())
                self.timers["resend"] = now_ms + self.timeouts.resend_ms
            else:
                self._timed_out(name)
        if self.begun:
            self._advance()
        return self._done(None)

    # Restart.

    def _restore(self, entries: list[Wire]) -> None:
        """Take up the state that the journal proves: own messages, then what justified them."""
        messages = [self.codec.open(entry) for entry in entries]
        for message in messages:
            try:
                self._accept(message)
            except Refused as error:
                self.refused[error.code] += 1
        mine = self.own = [message for message in messages if message.signer == self.owner]
        view = max((message.view for message in mine), default=0)
        if view > self.view:
            self._enter(view, [message.wire for message in messages if message.signer != self.owner])
        self.proposed = self.owner in self.current.proposals
        self.revealed |= {message.value for message in mine if message.step == REVEAL}
        for message in mine:
            if message.view == self.view and ORDER.get(message.step, 0) > ORDER[self.step]:
                self.step = message.step
            if message.step == PRECOMMIT and message.value != NIL and message.view > self.locked_view:
                self.locked_view, self.locked_value = message.view, message.value
        self._revalidate()
        self._out.extend(message.wire for message in self._resent())

    def _revalidate(self) -> None:
        """The newest value that is known to have had a prevote quorum."""
        for number, view in self.views.items():
            winner = view.prevotes.winner
            if winner and winner in self.contents and number > self.valid_view:
                self.valid_view, self.valid_value = number, winner

    # Rules.

    def _advance(self) -> None:
        """Apply the rules until none applies."""
        while self.certificate is None and (self._decide() or self._follow() or self._act()):
            pass

    def _decide(self) -> bool:
        """A precommit quorum of any view for an outcome that is known: done."""
        if not self.chosen:
            return False
        for value, wires in self.chosen.items():
            if value in self.contents:
                self._decided(certificates.make(self.committee, self.contents[value].outcome, wires))
                return True
        return False

    def _follow(self) -> bool:
        """More than a third of the weight, so at least one honest member, is in a later view: go there."""
        if not self.jump:
            return False
        number = max(self.jump)
        ahead = self.views[number].ahead
        self._enter(number, [message.wire for message in ahead.values()], keep=True)
        return True

    def _act(self) -> bool:
        """What the current view's step asks for."""
        view, step = self.current, self.step
        if step == PROPOSE:
            return self._reveal() or (self.leading and not self.proposed and self._lead()) or self._prevote()
        if view.precommits.full and "precommit" not in self.timers:
            self._arm("precommit", self.timeouts.vote_ms)
        winner = view.prevotes.winner
        if step == PREVOTE:
            if winner == NIL or (winner is not None and winner in self.contents):
                self._precommit(winner)
                return True
            if view.prevotes.full and "prevote" not in self.timers:
                self._arm("prevote", self.timeouts.vote_ms)
        elif winner and winner in self.contents and self.valid_view < self.view:
            self.valid_view, self.valid_value = self.view, winner
        return False

    def _reveal(self) -> bool:
        """Reveal against the whole committee's commits, or against the set that the view's leader announced."""
        gathering = self.gathering
        if self.view == 0 and len(gathering.commits) == len(self.committee.members) and not self.revealed:
            return self._say_reveal(gathering.close(), [])
        announced = self.current.reveals.get(self.committee.leader(self.view))
        if announced is None or announced.value in self.revealed or announced.value not in gathering.sets:
            return False
        mine = gathering.sets[announced.value].get(self.owner)
        own = gathering.commits.get(self.owner)
        if mine is None or own is None or mine.value != own.value:
            return False
        return self._say_reveal(announced.value, [])

    def _say_reveal(self, name: str, commits: list[Wire]) -> bool:
        """Once a set, and once a view."""
        self.revealed.add(name)
        if self.owner in self.current.reveals:
            return False
        return self._say(Message(REVEAL, self.view, self.owner, name, Reveal(self.salt, self.observation, commits)))

    def _lead(self) -> bool:
        """Propose what was valid before; else what is opened; else announce a commit set to be opened."""
        if self.valid_view >= 0:
            content = self.contents[self.valid_value]
            prevotes = self.views[self.valid_view].prevotes.votes_for(self.valid_value)
            content = content._replace(valid_view=self.valid_view, prevotes=[vote.wire for vote in prevotes])
            return self._propose(content)
        name = self.gathering.ready(wait_for_all=self.waiting and self.view == 0)
        if name is not None:
            return self._propose(self.gathering.proposal(name))
        commits = self.gathering.commits
        everybody = len(commits) == len(self.committee.members)
        if self.announced or not (everybody or (not self.waiting and self.committee.quorum(commits))):
            return False
        self.announced = self.waiting = True
        self._arm("gather", self.timeouts.gather_ms)
        name = self.gathering.close()
        return self._say_reveal(name, [message.wire for message in self.gathering.sets[name].values()])

    def _propose(self, proposal: Any) -> bool:
        self.proposed = True
        return self._say(Message(PROPOSE, self.view, self.owner, self.codec.value(proposal.outcome), proposal))

    def _prevote(self) -> bool:
        """For the leader's proposal if it is valid and the lock allows it, else for nothing."""
        view = self.current
        if view.proposal is None and not view.bad:
            return False
        value = NIL
        if view.proposal is not None:
            proposal, valid_view = view.proposal, view.proposal.data.valid_view
            proven = valid_view == -1 or (valid_view < self.view and self._was_valid(proposal))
            if proven and self._may_prevote(proposal.value, valid_view):
                value = proposal.value
        self._vote(PREVOTE, value)
        return True

    def _may_prevote(self, value: str, valid_view: int) -> bool:
        """The lock: another value only if a prevote quorum for it is as new as the lock."""
        return self.locked_value == value or self.locked_view <= valid_view

    def _precommit(self, value: str) -> None:
        """Lock, and keep what justifies the lock, before saying so."""
        if value != NIL:
            for message in [self.sources[value], *self.current.prevotes.votes_for(value)]:
                self._keep(message)
            self.locked_view = self.valid_view = self.view
            self.locked_value = self.valid_value = value
        self._vote(PRECOMMIT, value)

    def _vote(self, step: str, value: str) -> None:
        self.step = step
        self.timers.pop("propose" if step == PREVOTE else "prevote", None)
        self._say(Message(step, self.view, self.owner, value))

    def _timed_out(self, name: str) -> None:
        """A wait is over."""
        if name == "gather":
            self.waiting = False
        elif name == "propose" and self.step == PROPOSE:
            self._vote(PREVOTE, NIL)
        elif name == "prevote" and self.step == PREVOTE:
            self._precommit(NIL)
        elif name == "precommit":
            precommits = self.current.precommits.messages.values()
            self._enter(self.view + 1, [message.wire for message in precommits], keep=True)

    # Mechanics.

    def _enter(self, number: int, proof: list[Wire], *, keep: bool = False) -> None:
        """Go to a view; `proof` is what justifies it, sent on so that the others can follow."""
        self._open_view(number, self.committee.leader(number) == self.owner)
        self.proof = proof
        if keep:
            for wire in proof:
                self._keep(self.codec.open(wire))
        for name in ("prevote", "precommit"):
            self.timers.pop(name, None)
        self._arm("gather", self.timeouts.gather_ms)
        self._arm("propose", self.timeouts.propose_ms)

    def _arm(self, name: str, wait_ms: int) -> None:
        self.timers[name] = self.now + wait_ms + self.timeouts.grow_ms * self.view

    def _say(self, message: Message) -> bool:
        """Sign unless the journal forbids it; keep; send; count it like everybody else's."""
        self.codec.prepare(message)
        try:
            self.journal.before_signing(self.committee.round, message.view, message.step, message.digest)
        except DoubleSign:
            self.refused[DoubleSign.code] += 1
            return False
        self.codec.sign(message)
        self.journal.keep(self.committee.round, message.wire)
        self.own.append(message)
        self._out.append(message.wire)
        try:
            self._accept(message)
        except Refused as error:
            self.refused[error.code] += 1  # somebody else signs with this key: their message came first
        return True

    def _keep(self, message: Message) -> None:
        """Keep somebody else's message for a restart."""
        if message.signer != self.owner:
            self.journal.keep(self.committee.round, message.wire)

    def _resent(self) -> list[Message]:
        """Own messages that somebody may still need."""
        return [m for m in self.own if m.step in (COMMIT, REVEAL) or m.view >= self.view - 1]

    def _decided(self, certificate: dict[str, Any]) -> None:
        self.certificate = certificate
        self.timers.clear()

    def _learn(self, certificate: dict[str, Any]) -> None:
        outcome, precommits = certificate["outcome"], certificate["precommits"]
        owners = certificates.signers(precommits, self.codec.value(outcome), self.codec)
        if not self.committee.quorum(owners):
            raise Refused("no_quorum")
        if certificate != certificates.make(self.committee, outcome, precommits):
            raise Refused("other_round")

    def _done(self, refused: str | None) -> Step:
        messages, self._out = self._out, []
        found, self.evidence = self.evidence, []
        wake = min(self.timers.values()) if self.timers else None
        return Step(messages, wake, self.certificate, found, refused)
