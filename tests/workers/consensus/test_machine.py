import pytest

from tests.workers.consensus.cast import STRANGER, Table, committee, observation, said
from workers.consensus import evidence
from workers.consensus.machine import Machine
from workers.consensus.messages import DsseCodec, value_of

VALUE = "d" * 64


def state(machine: Machine):
    """Everything that a refused message must leave alone."""
    views = {
        number: (
            dict(view.proposals),
            dict(view.reveals),
            dict(view.prevotes.messages),
            dict(view.precommits.messages),
        )
        for number, view in machine.views.items()
        if view.proposals or view.reveals or view.prevotes.messages or view.precommits.messages
    }
    return (machine.view, machine.step, machine.locked_value, dict(machine.gathering.commits), views, machine.timers)


@pytest.fixture
def table():
    return Table()


def refused(table: Table, wire, seat: int = 0) -> str | None:
    """The code of the refusal; the machine is as it was before."""
    machine = table.machines[seat]
    before = state(machine)
    counted = machine.refused.total()
    step = machine.receive(wire, 1)
    assert state(machine) == before
    assert step.refused is None or machine.refused.total() == counted + 1
    return step.refused


@pytest.mark.parametrize("size", [4, 5, 7])
def test_all_agree_in_the_first_view(size):
    table = Table(size)
    table.begin()
    table.settle()
    made = table.certificates()
    assert len(made) == size
    assert all(one["outcome"] == made[0]["outcome"] for one in made)
    assert made[0]["outcome"]["action"] == "BUY"
    assert {machine.view for machine in table.machines} == {0}


def test_with_one_of_five_away_the_others_agree():
    for away in range(5):
        table = Table(5)
        table.begin([seat for seat in range(5) if seat != away])
        table.settle({away})
        table.wait(12_000, {away})
        assert len(table.certificates()) == 4


def test_with_two_of_five_away_nobody_decides():
    table = Table(5)
    table.begin([0, 1, 2])
    table.wait(30_000, {3, 4})
    assert table.certificates() == []


def test_three_owners_without_two_thirds_of_the_weight_do_not_decide():
    table = Table(4, [10, 1, 1, 1])
    table.begin([1, 2, 3])
    table.wait(15_000, {0})
    assert table.certificates() == []


def test_nobody_reveals_before_a_quorum_has_committed():
    table = Table()
    table.begin([0, 1])
    table.wait(15_000, {2, 3})
    codec = table.machines[0].codec
    assert "reveal" not in {codec.open(wire).step for wire in table.sent}


def test_reveals_and_proposal_bind_the_same_commit_set():
    table = Table()
    table.begin()
    table.settle()
    opened = [table.machines[0].codec.open(wire) for wire in table.sent]
    sets = {message.value for message in opened if message.step == "reveal"}
    sets |= {message.data.commits_sha256 for message in opened if message.step == "propose"}
    assert len(sets) == 1


def test_a_commit_tells_nothing_of_the_observation():
    table = Table()
    first = table.machines[0].begin(observation(), b"0" * 32, 0).messages
    other = Table().machines[0].begin(observation(), b"1" * 32, 0).messages
    assert table.machines[1].codec.open(first[0]).value != table.machines[1].codec.open(other[0]).value


def test_the_unstaked_and_the_foreign_key_are_refused(table):
    table.begin([0])
    assert refused(table, said("prevote", 6, value=VALUE)) == "unknown_key"
    assert refused(table, said("prevote", 1, key=STRANGER, value=VALUE)) == "unknown_key"
    # A member's key under another member's name.
    wire = said("prevote", 1, value=VALUE)
    forged = said("prevote", 2, value=VALUE)
    assert refused(table, {**wire, "signatures": forged["signatures"]}) in {"bad_signature", "unknown_key"}


def test_a_member_cannot_speak_for_another(table):
    table.begin([0])
    from tests.workers.consensus.cast import KEYS

    assert refused(table, said("prevote", 1, key=KEYS[2], value=VALUE)) == "wrong_signer"


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (None, "envelope_malformed"),
        ({}, "envelope_malformed"),
        ({"payloadType": 1, "payload": 2, "signatures": 3}, "envelope_malformed"),
        (said("prevote", 1, net="another", value=VALUE), "wrong_network"),
        (said("prevote", 1, round="rnd_2", value=VALUE), "wrong_round"),
        (said("prevote", 1, value="short"), "malformed"),
        (said("prevote", 1, value=VALUE, more=1), "malformed"),
        (said("prevote", 1, view=-1, value=VALUE), "malformed"),
        (said("prevote", 1, view=True, value=VALUE), "malformed"),
        (said("prevote", 1, view=65, value=VALUE), "too_far"),
        (said("commit", 1, view=1, commitment=VALUE), "malformed"),
        (said("applause", 1, value=VALUE), "wrong_kind"),
        (
            said("reveal", 1, commits_sha256=VALUE, commits=[], salt="0" * 64, observation={"symbol": "BTC-USD"}),
            "other_subject",
        ),
    ],
)
def test_the_malformed_is_refused(table, wire, code):
    table.begin([0])
    assert refused(table, wire) == code


def test_a_message_is_counted_once(table):
    table.begin([0])
    vote = said("prevote", 1, value=VALUE)
    assert table.machines[0].receive(vote, 1).refused is None
    assert refused(table, vote) == "duplicate"


def test_what_comes_after_the_decision_is_late(table):
    table.begin()
    table.settle()
    step = table.machines[0].receive(said("prevote", 1, view=3, value=VALUE), 9)
    assert step.refused == "late"
    assert step.certificate is not None


def test_a_reveal_that_does_not_open_its_commit_is_refused(table):
    table.begin([0, 1])
    table.settle({2, 3})
    other = observation(action="SELL")
    wire = said("reveal", 1, commits_sha256=VALUE, commits=[], salt="0" * 64, observation=other)
    assert refused(table, wire) == "does_not_open"


def test_only_the_leader_proposes(table):
    table.begin([0])
    leader = table.committee.leader(0)
    seat = next(seat for seat in range(1, 4) if f"o{seat}" != leader)
    body = {"commits_sha256": VALUE, "commits": [], "reveals": [], "outcome": {}, "valid_view": -1, "prevotes": []}
    assert refused(table, said("propose", seat, **body)) == "not_leader"


def test_a_proposal_that_proves_nothing_gets_a_vote_for_nothing(table):
    leader = int(table.committee.leader(0)[1:])
    me = (leader + 1) % 4
    table.begin([me])
    body = {"commits_sha256": VALUE, "commits": [], "reveals": [], "outcome": {}, "valid_view": -1, "prevotes": []}
    step = table.machines[me].receive(said("propose", leader, **body), 1)
    assert step.refused == "no_commit_quorum"
    assert [table.machines[0].codec.open(wire).value for wire in step.messages] == [""]


def test_who_signs_two_votes_is_caught_with_proof_that_needs_no_context(table):
    table.begin([0])
    machine = table.machines[0]
    machine.receive(said("prevote", 1, value=VALUE), 1)
    step = machine.receive(said("prevote", 1, value=""), 2)
    assert step.refused == "equivocation"
    [found] = step.evidence
    members = {member.owner: member for member in table.committee.members}
    assert evidence.verify(found, members["o1"])
    assert not evidence.verify(found, members["o2"])


def test_a_double_signer_is_reported_once_a_slot(table):
    table.begin([0])
    machine = table.machines[0]
    votes = [said("prevote", 1, value=str(digit) * 64) for digit in range(5)]
    assert sum(len(machine.receive(vote, 1).evidence) for vote in votes) == 1
    assert machine.refused["equivocation"] == 4


def test_a_precommit_quorum_without_its_proposal_waits_for_the_proposal():
    table = Table()
    table.begin()
    leader = table.committee.leader(0)
    late = next(seat for seat in range(4) if f"o{seat}" != leader)
    codec = table.machines[0].codec
    held = []
    while table.queue:
        seat, wire = table.queue.pop(0)
        if seat == late and codec.open(wire).step == "propose":
            held.append(wire)
            continue
        table.post(seat, table.machines[seat].receive(wire, 0))
    assert table.machines[late].certificate is None
    assert table.machines[late].receive(held[0], 0).certificate is not None


def test_a_certificate_ends_the_round_for_whoever_learns_of_it(table):
    table.begin()
    table.settle()
    slow = table.machine(1)
    assert slow.learn(table.machines[0].certificate, 5).certificate == table.machines[0].certificate


def test_a_certificate_that_proves_nothing_is_not_learnt(table):
    table.begin()
    table.settle()
    made = table.machines[0].certificate
    for bad in (
        {**made, "precommits": made["precommits"][:2]},
        {**made, "outcome": {**made["outcome"], "action": "SELL"}},
        {**made, "round": "rnd_2"},
        {},
        None,
    ):
        step = table.machine(1).learn(bad, 5)
        assert (step.certificate, step.refused) == (None, "bad_certificate")


def test_the_value_voted_on_binds_the_weights_and_the_block():
    outcome = {**observation(), "round": "rnd_1"}
    group = committee()
    assert value_of(group, outcome) != value_of(committee(4, [1, 1, 1, 2]), outcome)


def test_a_codec_without_a_key_opens_and_does_not_sign():
    table = Table()
    wire = table.machines[0].begin(observation(), b"0" * 32, 0).messages[0]
    codec = DsseCodec(table.committee)
    assert codec.open(wire).signer == "o0"
    assert codec.open(wire) is codec.open(wire)
