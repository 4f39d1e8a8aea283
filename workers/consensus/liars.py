"""Members who lie: they forget their locks, keep no journal and tell different members different things."""

from random import Random
from typing import Any

from workers.consensus.machine import Machine, Step
from workers.consensus.messages import COMMIT, NIL, PRECOMMIT, PREVOTE, PROPOSE, Message, Proposal, Wire


class NoJournal:
    """Remembers nothing and forbids nothing."""

    def before_signing(self, round_id: str, view: int, step: str, digest: str) -> None:
        """Never refuses."""

    def keep(self, round_id: str, entry: dict[str, Any]) -> None:
        """Keeps nothing."""

    def restore(self, round_id: str) -> list[dict[str, Any]]:
        """Nothing."""
        return []


class Forgetful(Machine):
    """Votes for whatever is proposed, never proposes what was locked, and goes on whatever was decided."""

    def _may_prevote(self, value: str, valid_view: int) -> bool:
        return True

    def _precommit(self, value: str) -> None:
        self._vote(PRECOMMIT, value)

    def _decide(self) -> bool:
        return False

    def learn(self, certificate: dict[str, Any], now_ms: int) -> Step:
        """Not interested."""
        self.now = now_ms
        return self._done(None)


class Schemer(Forgetful):
    """Helps one outcome through its first view and from then on only its own proposals, each different."""

    def _may_prevote(self, value: str, valid_view: int) -> bool:
        return self.view == 0 or self.leading

    def _propose(self, proposal: Proposal) -> bool:
        name = proposal.commits_sha256
        if self.view and name in self.gathering.sets:
            reveals = self.gathering.openings(name)
            reveals.pop(list(reveals)[self.view % len(reveals)])
            if self.committee.quorum(reveals):
                proposal = self.gathering.proposal_of(name, reveals)
        return super()._propose(proposal)


def nothing(machine: Machine, message: Message) -> Wire:
    """The vote for nothing in the same slot."""
    other = Message(message.step, message.view, message.signer, NIL)
    machine.codec.prepare(other)
    machine.codec.sign(other)
    return other.wire


def variant(machine: Machine, message: Message, rng: Random) -> Wire:
    """Another message for the same slot, signed with the liar's own key; the same one where there is no other."""
    other: Message | None = None
    if message.step in (PREVOTE, PRECOMMIT):
        values = [NIL, *machine.contents]
        value = values[int(rng.random() * len(values))]
        other = Message(message.step, message.view, message.signer, value)
    elif message.step == COMMIT:
        other = Message(COMMIT, 0, message.signer, message.value + "'")
    elif message.step == PROPOSE:
        other = _other_proposal(machine, message, rng)
    if other is None:
        return message.wire
    machine.codec.prepare(other)
    machine.codec.sign(other)
    return other.wire


def _other_proposal(machine: Machine, message: Message, rng: Random) -> Message | None:
    """A valid proposal from other reveals of the same commit set: one is left out, if a quorum remains."""
    gathering, data = machine.gathering, message.data
    if data.commits_sha256 not in gathering.sets:
        return None
    reveals = gathering.openings(data.commits_sha256)
    if not reveals:
        return None
    reveals.pop(list(reveals)[int(rng.random() * len(reveals))])
    if not machine.committee.quorum(reveals):
        return None
    proposal = gathering.proposal_of(data.commits_sha256, reveals)
    return Message(PROPOSE, message.view, message.signer, machine.codec.value(proposal.outcome), proposal)
