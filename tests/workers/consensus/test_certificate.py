import copy
import json

import pytest
from typer.testing import CliRunner

from tests.workers.consensus.cast import BLOCK, KEYS, ROUND, STRANGER, Table, committee, said
from workers.client.cli import app
from workers.consensus import certificate
from workers.consensus.messages import value_of
from workers.protocol.keys import b64


@pytest.fixture(scope="module")
def made():
    table = Table(5)
    table.begin()
    table.settle()
    return table.machines[0].certificate


@pytest.fixture
def changed(made):
    return copy.deepcopy(made)


def failed(document, **options):
    return [name for name, ok, _ in certificate.verify(document, **options).checks if not ok]


def test_a_certificate_proves_itself(made):
    verdict = certificate.verify(made)
    assert verdict.ok
    assert "admitted these owners" in verdict.trusts
    assert "itself names" in verdict.trusts


def test_it_survives_being_written_as_json(made):
    assert certificate.verify(json.loads(json.dumps(made))).ok


def test_the_pinned_block_must_be_the_one_that_was_signed(made, changed):
    assert certificate.verify(made, pinned_block_hash=BLOCK).ok
    assert failed(made, pinned_block_hash="c" * 64) == ["block"]
    changed["block"]["hash"] = "c" * 64
    assert failed(changed, pinned_block_hash="c" * 64) == ["signatures"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("subject_sha256", "f" * 64), ("net", "another"), ("round", "rnd_2")],
)
def test_it_holds_for_one_network_round_and_subject_only(changed, field, value):
    changed[field] = value
    assert "signatures" in failed(changed)


def test_another_outcome_is_not_what_was_signed(changed):
    changed["outcome"]["price"] = "1"
    assert failed(changed) == ["signatures"]


def test_another_weight_is_not_what_was_signed(changed):
    changed["members"][0]["weight"] += 1
    assert failed(changed) == ["weights", "signatures"]


def test_three_of_five_owners_are_too_few(changed):
    changed["precommits"] = changed["precommits"][:3]
    assert failed(changed) == ["quorum"]


def test_one_owner_signs_once(changed):
    changed["precommits"][3] = changed["precommits"][0]
    assert failed(changed) == ["signatures"]


def test_a_stranger_cannot_sign(changed, made):
    value = value_of(committee(5), made["outcome"])
    changed["precommits"][0] = said("precommit", 0, key=STRANGER, value=value)
    assert failed(changed) == ["signatures"]


def test_prevotes_are_no_precommits(changed, made):
    value = value_of(committee(5), made["outcome"])
    changed["precommits"] = [said("prevote", seat, value=value) for seat in range(4)]
    assert failed(changed) == ["signatures"]


def test_precommits_of_several_views_do_not_add_up(changed, made):
    value = value_of(committee(5), made["outcome"])
    changed["precommits"] = [said("precommit", seat, view=seat % 2, value=value) for seat in range(4)]
    assert failed(changed) == ["signatures"]


def test_a_committee_with_two_seats_of_one_key_is_none(changed):
    changed["members"][1]["public"] = b64(KEYS[0].public)
    changed["members"][1]["kid"] = KEYS[0].kid
    assert failed(changed) == ["shape"]


@pytest.mark.parametrize("field", sorted(certificate.FIELDS))
@pytest.mark.parametrize("value", [None, [], {}, "x", 1, [1], {"hash": 1}])
def test_nonsense_is_refused_never_raised(changed, field, value):
    changed[field] = value
    assert not certificate.verify(changed).ok


def test_a_field_that_nobody_checks_is_refused(changed):
    changed["note"] = "trust me"
    assert failed(changed) == ["shape"]


def test_mesh_verify_recognises_a_certificate(made, tmp_path):
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(made))
    result = CliRunner().invoke(app, ["verify", str(path), "--block", BLOCK, "--json"])
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert answer["ok"]
    assert ROUND in str(answer["checks"])
    assert "block hash given by you" in answer["trusts"]


def test_mesh_verify_refuses_a_changed_certificate(changed, tmp_path):
    path = tmp_path / "certificate.json"
    changed["outcome"]["action"] = "SELL"
    path.write_text(json.dumps(changed))
    assert CliRunner().invoke(app, ["verify", str(path)]).exit_code != 0
