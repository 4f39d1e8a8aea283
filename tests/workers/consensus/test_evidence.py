import pytest

from tests.workers.consensus.cast import KEYS, STRANGER, committee, said
from workers.consensus import evidence

ONE, TWO = "1" * 64, "2" * 64
MEMBER = committee().members[1]


def pair(**changed):
    """Two votes of o1 in one view, the second changed."""
    return said("prevote", 1, value=ONE), said("prevote", 1, **{"value": TWO, **changed})


def test_two_votes_of_one_view_are_evidence():
    assert evidence.verify(evidence.make(*pair()), MEMBER)


def test_it_is_evidence_in_either_order():
    first, second = pair()
    assert evidence.verify(evidence.make(second, first), MEMBER)


@pytest.mark.parametrize("changed", [{"view": 1}, {"round": "rnd_2"}, {"value": ONE}, {"net": "another"}])
def test_votes_of_different_views_rounds_or_networks_and_the_same_vote_twice_are_none(changed):
    assert not evidence.verify(evidence.make(*pair(**changed)), MEMBER)


def test_votes_of_different_steps_are_none():
    assert not evidence.verify(evidence.make(said("prevote", 1, value=ONE), said("precommit", 1, value=TWO)), MEMBER)


def test_somebody_else_signature_proves_nothing_against_a_member():
    first, _ = pair()
    for key in (STRANGER, KEYS[2]):
        assert not evidence.verify(evidence.make(first, said("prevote", 1, key=key, value=TWO)), MEMBER)


def test_a_changed_vote_is_no_proof():
    found = evidence.make(*pair())
    payload = said("prevote", 1, value="3" * 64)["payload"]
    assert not evidence.verify({**found, "second": {**found["second"], "payload": payload}}, MEMBER)


@pytest.mark.parametrize("change", [{"view": 1}, {"view": False}, {"step": "precommit"}, {"signer": "o2"}, {"more": 1}])
def test_the_label_must_say_what_the_votes_say(change):
    assert not evidence.verify({**evidence.make(*pair()), **change}, MEMBER)


@pytest.mark.parametrize("nonsense", [{}, None, [], {"first": 1}])
def test_nonsense_is_no_evidence(nonsense):
    assert not evidence.verify(nonsense, MEMBER)


def file(**changed):
    """True evidence with the seats of its round, but for the changes."""
    return evidence.document("equivocation:1", evidence.make(*pair()), committee().members) | changed


def test_a_file_of_evidence_proves_itself_and_says_what_it_trusts():
    verdict = evidence.check(file())
    assert (verdict.ok, [name for name, _, _ in verdict.checks]) == (True, ["weights", "key", "equivocation"])
    assert "seats of the round" in verdict.trusts
    assert evidence.looks_like(file())
    assert not evidence.looks_like({"precommits": [], "weights_sha256": ""})


@pytest.mark.parametrize(
    ("changed", "check"),
    [
        ({"evidence": evidence.make(*pair(value=ONE))}, "equivocation"),
        ({"evidence": evidence.make(*pair()) | {"view": 1}}, "equivocation"),
        ({"weights_sha256": "0" * 64}, "weights"),
        ({"members": file()["members"][2:]}, "shape"),
        ({"members": [member | {"kid": "k" * 16} for member in file()["members"]]}, "key"),
        ({"members": None}, "shape"),
        ({"evidence": []}, "shape"),
    ],
)
def test_a_file_that_was_changed_does_not_verify(changed, check):
    verdict = evidence.check(file(**changed))
    assert not verdict.ok
    assert check in [name for name, held, _ in verdict.checks if not held]
