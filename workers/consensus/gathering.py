"""Commits and reveals of one round, and what makes a proposal's content valid."""

from collections.abc import Sequence
from typing import Any

from workers.consensus import outcome
from workers.consensus.committee import Committee
from workers.consensus.errors import ObservationRefused, Refused
from workers.consensus.messages import COMMIT, REVEAL, Codec, Message, Proposal, Wire

Commits = dict[str, Message]


class Gathering:
    """What the members committed to and revealed, as one machine saw it."""

    def __init__(self, committee: Committee, codec: Codec) -> None:
        self.committee = committee
        self.codec = codec
        self.about: tuple[str, int] | None = None
        self.commits: Commits = {}
        self.sets: dict[str, Commits] = {}
        self.reveals: dict[str, dict[str, Message]] = {}

    def close(self) -> str:
        """Take the commits held now as a set; returns its hash."""
        return self._note(dict(self.commits))

    def _note(self, commits: Commits) -> str:
        name = self.codec.set_hash({owner: message.value for owner, message in commits.items()})
        self.sets.setdefault(name, commits)
        return name

    def announced(self, wires: Sequence[Wire], name: str) -> Commits:
        """The commit set that a leader sent, if its hash is `name` and it is a quorum; raises Refused."""
        if name in self.sets:
            return self.sets[name]
        commits = self._opened(wires, COMMIT)
        if not self.committee.quorum(commits):
            raise Refused("no_commit_quorum")
        if self.codec.set_hash({owner: message.value for owner, message in commits.items()}) != name:
            raise Refused("other_commit_set")
        self.sets[name] = commits
        return commits

    def _opened(self, wires: Sequence[Wire], step: str) -> Commits:
        """The messages of one step by their signers; raises Refused."""
        found: Commits = {}
        for wire in wires:
            message = self.codec.open(wire)
            if message.step != step or message.signer in found:
                raise Refused("malformed")
            found[message.signer] = message
        return found

    def check(self, reveal: Message) -> None:
        """Refuse a reveal that does not open the commit held of its signer, or is about something else."""
        commit = self.commits.get(reveal.signer)
        if commit is not None and not self.opens(reveal, commit.value):
            raise Refused("does_not_open")
        observation = reveal.data.observation
        if self.about is not None and self.about != (observation.get("symbol"), observation.get("horizon_s")):
            raise Refused("other_subject")

    def add(self, reveal: Message) -> None:
        """Keep a reveal under the commit set that it binds."""
        self.reveals.setdefault(reveal.value, {}).setdefault(reveal.signer, reveal)

    def opens(self, reveal: Message, commitment: str) -> bool:
        """Whether a reveal's salt and observation are what was committed to."""
        if reveal.opened != commitment:
            salt, observation, _ = reveal.data
            try:
                outcome.check(observation)
            except ObservationRefused:
                return False
            if self.codec.commitment(reveal.signer, salt, observation) != commitment:
                return False
            reveal.opened = commitment
        return True

    def openings(self, name: str) -> dict[str, Message]:
        """The reveals that open commits of a known set."""
        commits = self.sets[name]
        return {
            owner: reveal
            for owner, reveal in self.reveals.get(name, {}).items()
            if owner in commits and self.opens(reveal, commits[owner].value)
        }

    def ready(self, *, wait_for_all: bool) -> str | None:
        """The hash of a set that enough members have opened to be proposed."""
        for name, reveals in self.reveals.items():
            commits = self.sets.get(name)
            if commits is None or len(reveals) < (len(commits) if wait_for_all else self.committee.need):
                continue
            opened = self.openings(name)
            if self.committee.quorum(opened) and not (wait_for_all and len(opened) < len(commits)):
                return name
        return None

    def proposal(self, name: str) -> Proposal:
        """What a leader proposes from a set that is ready."""
        return self.proposal_of(name, self.openings(name))

    def proposal_of(self, name: str, reveals: Commits) -> Proposal:
        """A proposal from some reveals of a set, with all that proves it."""
        return Proposal(
            name,
            [message.wire for message in self.sets[name].values()],
            [message.wire for message in reveals.values()],
            self._outcome(reveals),
            -1,
            [],
        )

    def _outcome(self, reveals: Commits) -> dict[str, Any]:
        weights = self.committee.weights
        pairs = [(reveal.data.observation, weights[owner]) for owner, reveal in reveals.items()]
        return outcome.decide(pairs, self.committee.round)

    def check_content(self, proposal: Proposal) -> None:
        """Recompute a proposal from what it carries; raises Refused if it proves something else, or nothing."""
        name = proposal.commits_sha256
        commits = self.announced(proposal.commits, name)
        reveals = self._opened(proposal.reveals, REVEAL)
        if not self.committee.quorum(reveals):
            raise Refused("no_reveal_quorum")
        for owner, reveal in reveals.items():
            if reveal.value != name or owner not in commits or not self.opens(reveal, commits[owner].value):
                raise Refused("does_not_open")
            said = reveal.data.observation
            if self.about is not None and self.about != (said["symbol"], said["horizon_s"]):
                raise Refused("other_subject")
        if len({(r.data.observation["symbol"], r.data.observation["horizon_s"]) for r in reveals.values()}) > 1:
            raise Refused("other_subject")
        if self._outcome(reveals) != proposal.outcome:
            raise Refused("other_outcome")
