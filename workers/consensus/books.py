"""What was said in each view: one slot a signer and step, votes added up as they come."""

from workers.consensus.committee import Committee
from workers.consensus.messages import COMMIT, PRECOMMIT, PREVOTE, PROPOSE, Message


class Book:
    """The votes of one view and step: `winner` is the value with a quorum, `full` says that a quorum voted at all."""

    __slots__ = ("_by_value", "_weight", "committee", "full", "messages", "winner")

    def __init__(self, committee: Committee) -> None:
        self.committee = committee
        self.messages: dict[str, Message] = {}
        self.winner: str | None = None
        self.full = False
        self._weight = 0
        self._by_value: dict[str, tuple[int, int]] = {}

    def add(self, message: Message) -> None:
        """Count the first vote of a signer."""
        committee = self.committee
        own = committee.weights[message.signer]
        self.messages[message.signer] = message
        self._weight += own
        weight, owners = self._by_value.get(message.value, (0, 0))
        weight, owners = weight + own, owners + 1
        self._by_value[message.value] = (weight, owners)
        if committee.reached(weight, owners):
            self.winner = message.value
        if not self.full and committee.reached(self._weight, len(self.messages)):
            self.full = True

    def votes_for(self, value: str) -> list[Message]:
        """Those who voted for a value."""
        return [message for message in self.messages.values() if message.value == value]


class View:
    """One view: who proposed what, who revealed, and both books."""

    __slots__ = ("ahead", "bad", "precommits", "prevotes", "proposal", "proposals", "reveals", "weight")

    def __init__(self, committee: Committee) -> None:
        self.reveals: dict[str, Message] = {}
        self.proposals: dict[str, Message] = {}
        self.prevotes = Book(committee)
        self.precommits = Book(committee)
        self.proposal: Message | None = None
        self.bad = False
        self.ahead: dict[str, Message] = {}
        self.weight = 0

    def slots(self, step: str, commits: dict[str, Message]) -> dict[str, Message]:
        """The messages of one step by signer."""
        if step == PREVOTE:
            return self.prevotes.messages
        if step == PRECOMMIT:
            return self.precommits.messages
        if step == PROPOSE:
            return self.proposals
        return commits if step == COMMIT else self.reveals
