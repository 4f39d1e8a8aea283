import pytest

from tests.workers.consensus.cast import Table, observation
from workers.consensus import certificate
from workers.consensus.errors import DoubleSign
from workers.consensus.journal import MemoryJournal
from workers.consensus.machine import Machine


class Died(Exception):
    """The process is gone."""


class Mortal(MemoryJournal):
    """A journal whose machine dies at one of its writes, before it or right after it."""

    def __init__(self, at: int, after: bool) -> None:
        super().__init__()
        self.at, self.after, self.writes = at, after, 0

    def _write(self, write, *arguments):
        self.writes += 1
        if self.writes == self.at and not self.after:
            raise Died
        write(*arguments)
        if self.writes == self.at:
            raise Died

    def before_signing(self, *arguments):
        self._write(super().before_signing, *arguments)

    def keep(self, *arguments):
        self._write(super().keep, *arguments)


class Watched(Table):
    """A table whose seat 0 dies once and comes back, observing something else."""

    def __init__(self, at: int, after: bool) -> None:
        super().__init__()
        self.journals[0] = Mortal(at, after)
        self.machines[0] = self.machine(0)
        self.died = 0

    def alive(self, call):
        """The call's step; if the machine died in it, that of the one that takes its place."""
        try:
            return call(self.machines[0])
        except Died:
            self.died += 1
            self.machines[0] = self.machine(0)
            return self.machines[0].begin(observation(action="SELL", confidence_bp=1), b"z" * 32, self.now)

    def play(self):
        self.begin([1, 2, 3])
        self.post(0, self.alive(lambda machine: machine.begin(observation(), b"0" * 32, 0)))
        for _ in range(200):
            while self.queue:
                seat, wire = self.queue.pop(0)
                if seat == 0:
                    self.post(0, self.alive(lambda machine, wire=wire: machine.receive(wire, self.now)))
                else:
                    self.post(seat, self.machines[seat].receive(wire, self.now))
            if len(self.certificates()) == 4:
                return
            self.now += 100
            for seat in range(4):
                if self.machines[seat].certificate is None:
                    tick = lambda machine: machine.tick(self.now)  # noqa: E731
                    self.post(seat, self.alive(tick) if seat == 0 else tick(self.machines[seat]))
            for made in self.certificates()[:1]:
                for machine in self.machines:
                    machine.learn(made, self.now)


def bodies_by_slot(table: Table) -> dict[tuple[int, str], set[str]]:
    """What seat 0 said in each view and step, by digest."""
    codec = table.machines[1].codec
    said: dict[tuple[int, str], set[str]] = {}
    for message in map(codec.open, table.sent):
        if message.signer == "o0":
            said.setdefault((message.view, message.step), set()).add(message.digest)
    return said


def writes_of_a_whole_round() -> int:
    table = Watched(0, after=False)
    table.play()
    assert isinstance(table.journals[0], Mortal)
    return table.journals[0].writes


WRITES = 24


def test_a_round_without_a_crash_has_no_more_writes_than_are_tried():
    assert 10 < writes_of_a_whole_round() <= WRITES


@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
@pytest.mark.parametrize("at", range(1, WRITES + 1))
def test_a_machine_that_dies_at_any_write_never_signs_twice_and_the_round_is_certified(at, after):
    table = Watched(at, after)
    table.play()
    made = table.certificates()
    assert len(made) == 4
    assert all(one["outcome"] == made[0]["outcome"] for one in made)
    assert all(certificate.verify(one).ok for one in made)
    assert all(len(digests) == 1 for digests in bodies_by_slot(table).values())
    assert not any(machine.evidence for machine in table.machines)


def test_after_a_restart_the_first_observation_counts():
    table = Table()
    first = table.machines[0].begin(observation(), b"0" * 32, 0)
    again = table.machine(0).begin(observation(action="SELL"), b"1" * 32, 5)
    assert again.messages == first.messages


def test_a_restarted_machine_keeps_its_lock():
    table = Table()
    table.begin()
    table.settle()
    restored = table.machine(0)
    restored.begin(observation(action="SELL"), b"1" * 32, 5)
    before = table.machines[0]
    assert restored.locked_value == before.locked_value != ""
    assert not restored._may_prevote("another value", -1)


def test_all_machines_may_die_after_locking_and_the_outcome_stays():
    table = Table()
    table.begin()
    while not all(machine.locked_value for machine in table.machines):
        seat, wire = table.queue.pop(0)
        table.post(seat, table.machines[seat].receive(wire, 0))
        if table.machines[seat].certificate:
            break
    locked = {machine.locked_value for machine in table.machines if machine.locked_value}
    table.queue.clear()
    table.machines = [table.machine(seat) for seat in range(4)]
    table.begin(action="SELL")
    table.wait(20_000)
    made = table.certificates()
    assert len(made) == 4
    assert {table.machines[0].codec.value(one["outcome"]) for one in made} == locked


def test_the_journal_refuses_a_second_digest_for_a_slot_and_takes_the_same_again():
    journal = MemoryJournal()
    journal.before_signing("rnd_1", 0, "prevote", "one")
    journal.before_signing("rnd_1", 0, "prevote", "one")
    journal.before_signing("rnd_1", 1, "prevote", "two")
    with pytest.raises(DoubleSign):
        journal.before_signing("rnd_1", 0, "prevote", "two")


def test_a_machine_that_may_not_sign_stays_silent_and_goes_on():
    table = Table()
    table.journals[0].before_signing("rnd_1", 0, "prevote", "something else")
    table.begin()
    table.settle()
    table.wait(3_000)
    machine: Machine = table.machines[0]
    assert machine.refused["double_sign"] == 1
    assert len(table.certificates()) == 4
    assert (0, "prevote") not in bodies_by_slot(table)
