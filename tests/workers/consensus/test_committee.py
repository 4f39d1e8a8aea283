from dataclasses import replace

import pytest

from tests.workers.consensus.cast import KEYS, committee
from workers.consensus.committee import Committee, Member
from workers.consensus.errors import CommitteeRefused


@pytest.mark.parametrize(("size", "needed"), [(4, 3), (5, 4), (6, 5), (7, 5)])
def test_two_thirds_of_the_owners_and_one_must_sign(size, needed):
    group = committee(size)
    owners = [member.owner for member in group.members]
    assert group.quorum(owners[:needed])
    assert not group.quorum(owners[: needed - 1])


def test_enough_owners_without_two_thirds_of_the_weight_are_no_quorum():
    group = committee(4, [10, 1, 1, 1])
    assert not group.quorum(["o1", "o2", "o3"])
    assert group.quorum(["o0", "o1", "o2"])


def test_exactly_two_thirds_of_the_weight_are_too_little():
    group = committee(4, [2, 2, 2, 3])
    assert not group.quorum(["o0", "o1", "o2"])
    assert group.quorum(["o0", "o1", "o3"])


def test_enough_weight_without_enough_owners_is_no_quorum():
    assert not committee(4, [100, 100, 1, 1]).quorum(["o0", "o1"])


def test_an_owner_who_is_no_member_counts_for_nothing_and_spoils_the_set():
    assert not committee().quorum(["o0", "o1", "o2", "stranger"])


def test_an_owner_named_twice_counts_once():
    assert not committee().quorum(["o0", "o0", "o1"])


@pytest.mark.parametrize("weight", [0, -1, 2**41, True, 1.5])
def test_a_weight_that_is_not_a_positive_whole_number_is_refused(weight):
    members = committee().members
    with pytest.raises(CommitteeRefused):
        Committee("net", "rnd", (replace(members[0], weight=weight), *members[1:]), "a" * 64)


def test_three_members_are_too_few():
    with pytest.raises(CommitteeRefused):
        Committee("net", "rnd", committee().members[:3], "a" * 64)


def test_one_owner_has_one_seat_and_one_key_one_member():
    members = committee(5).members
    with pytest.raises(CommitteeRefused, match="owner"):
        Committee("net", "rnd", (*members[:4], replace(members[4], owner="o0")), "a" * 64)
    doubled = replace(members[4], kid=members[0].kid, public=members[0].public)
    with pytest.raises(CommitteeRefused, match="kid"):
        Committee("net", "rnd", (*members[:4], doubled), "a" * 64)


def test_a_key_that_does_not_have_its_id_is_refused():
    members = committee().members
    with pytest.raises(CommitteeRefused):
        Committee("net", "rnd", (replace(members[0], kid=KEYS[6].kid), *members[1:]), "a" * 64)


def test_the_hash_of_the_weights_does_not_depend_on_the_order_of_the_members():
    group = committee()
    turned = Committee(group.net, group.round, tuple(reversed(group.members)), group.subject_sha256)
    assert turned.weights_sha256 == group.weights_sha256
    assert committee(4, [1, 2, 3, 4]).weights_sha256 != group.weights_sha256


def test_everybody_leads_in_turn():
    group = committee(5)
    assert {group.leader(view) for view in range(5)} == {member.owner for member in group.members}
    assert group.leader(0) == group.leader(5)


def test_a_member_is_loaded_from_what_it_was_written_as():
    group = committee()
    assert [Member.load(seat) for seat in group.seats] == list(group.members)
    with pytest.raises(CommitteeRefused):
        Member.load({**group.seats[0], "more": 1})
