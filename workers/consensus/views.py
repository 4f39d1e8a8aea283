"""What a machine has heard, view by view: filing messages, catching double signers, knowing valid outcomes."""

from workers.consensus.books import View
from workers.consensus.committee import Committee
from workers.consensus.errors import Refused
from workers.consensus.evidence import Evidence, between
from workers.consensus.gathering import Gathering
from workers.consensus.messages import (
    COMMIT,
    NIL,
    PRECOMMIT,
    PREVOTE,
    PROPOSE,
    REVEAL,
    Codec,
    Message,
    Proposal,
    Wire,
)

FARTHEST = 64
MOST_SECOND_PROPOSALS = 64


class Views:
    """Filed messages. `contents` are outcomes proven by a proposal, `chosen` values with a precommit quorum."""

    def __init__(self, committee: Committee, gathering: Gathering, codec: Codec) -> None:
        self.committee = committee
        self.gathering = gathering
        self.codec = codec
        self.views: dict[int, View] = {}
        self.contents: dict[str, Proposal] = {}
        self.sources: dict[str, Message] = {}
        self.chosen: dict[str, list[Wire]] = {}
        self.jump: set[int] = set()
        self.heard: set[str] = set()
        self.evidence: list[Evidence] = []
        self.caught: set[tuple[str, int, str]] = set()
        self.second_proposals = 0
        self.revealed: set[str] = set()
        self._open_view(0, leading=False)

    def _open_view(self, number: int, leading: bool) -> None:
        """Make a view the current one."""
        self.view = number
        self.step = PROPOSE
        self.leading = leading
        self.proposed = self.announced = False
        self.waiting = True
        self.current = self._view(number)
        self.jump = {ahead for ahead in self.jump if ahead > number}

    def _view(self, number: int) -> View:
        view = self.views.get(number)
        if view is None:
            view = self.views[number] = View(self.committee)
        return view

    def _accept(self, message: Message) -> None:
        """File a message in its slot; raises Refused, with nothing changed unless it is evidence or a bad proposal."""
        number, step, signer = message.view, message.step, message.signer
        if number > self.view + FARTHEST:
            raise Refused("too_far")
        view = self._view(number)
        slots = view.slots(step, self.gathering.commits)
        held = slots.get(signer)
        if held is not None:
            if held.digest == message.digest:
                raise Refused("duplicate")
            self._conflict(held, message)
            raise Refused("equivocation")
        if step == PREVOTE:
            view.prevotes.add(message)
        elif step == PRECOMMIT:
            view.precommits.add(message)
            winner = view.precommits.winner
            if winner and winner not in self.chosen:
                self.chosen[winner] = [vote.wire for vote in view.precommits.votes_for(winner)]
        elif step == PROPOSE:
            self._file_proposal(view, message)
        elif step == COMMIT:
            slots[signer] = message
        else:
            self._file_reveal(slots, message)
        self.heard.add(message.digest)
        if number > self.view and step not in (COMMIT, REVEAL):
            self._note_ahead(number, view, message)

    def _conflict(self, held: Message, message: Message) -> None:
        """Two messages of one signer for one slot: evidence, once. A second proposal may yet win the votes."""
        slot = (message.signer, message.view, message.step)
        if slot not in self.caught:
            self.caught.add(slot)
            self.evidence.append(between(self.committee.net, self.committee.round, held, message))
        if message.step == PROPOSE and self.second_proposals < MOST_SECOND_PROPOSALS:
            self.second_proposals += 1
            self._learn_content(message)

    def _note_ahead(self, number: int, view: View, message: Message) -> None:
        if message.signer not in view.ahead:
            view.ahead[message.signer] = message
            view.weight += self.committee.weights[message.signer]
            if 3 * view.weight >= self.committee.total:
                self.jump.add(number)

    def _file_reveal(self, slots: dict[str, Message], message: Message) -> None:
        self.gathering.check(message)
        if message.data.commits:
            self.gathering.announced(message.data.commits, message.value)
        slots[message.signer] = message
        self.gathering.add(message)

    def _file_proposal(self, view: View, message: Message) -> None:
        if message.signer != self.committee.leader(message.view):
            raise Refused("not_leader")
        view.proposals[message.signer] = message
        try:
            self._learn_content(message)
        except Refused:
            view.bad = True
            raise
        view.proposal = message

    def _learn_content(self, message: Message) -> None:
        """Check a proposal's content unless its outcome is proven already; raises Refused."""
        if message.value not in self.contents:
            self.gathering.check_content(message.data)
            self.contents[message.value] = message.data
            self.sources[message.value] = message

    def _was_valid(self, proposal: Message) -> bool:
        """Whether a prevote quorum for the proposal is held, or travels with it."""
        valid_view, value = proposal.data.valid_view, proposal.value
        view = self.views.get(valid_view)
        if view is not None and view.prevotes.winner == value:
            return True
        try:
            votes = [self.codec.open(wire) for wire in proposal.data.prevotes]
        except Refused:
            return False
        fitting = all((vote.step, vote.view, vote.value) == (PREVOTE, valid_view, value) for vote in votes)
        owners = {vote.signer for vote in votes}
        weight = sum(self.committee.weights[owner] for owner in owners)
        return value != NIL and fitting and self.committee.reached(weight, len(owners))
