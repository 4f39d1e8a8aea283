"""Enrolling nodes: every refusal has its code and changes nothing."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.db import connections

from apps.core import parameters, platform_keys
from apps.core.models import Event, User
from apps.operators import enrolment, errors, nodes, standing
from apps.operators.enrolment import Enrolment
from apps.operators.models import EnrolmentToken, Node, NodeStatus, Operator
from workers.protocol import pow as proof_of_work
from workers.protocol.clock import utcnow
from workers.protocol.keys import SealingKey, SigningKey, b64


def prepared(operator: Operator, name: str = "fra-1", **changes: object) -> Enrolment:
    made = enrolment_with(enrolment.issue_token(operator, name, utcnow()), name)
    return worked(replace(made, **changes)) if changes else made  # type: ignore[arg-type]


def worked(made: Enrolment) -> Enrolment:
    """With the work done for the key that it has now."""
    return replace(made, nonce=proof_of_work.solve(made.challenge, b64(made.sign_public)))


def enrolment_with(token: str, name: str) -> Enrolment:
    """What a machine sends that was given the token."""
    asked, key = enrolment.challenge(token, utcnow()), SigningKey.generate()
    return Enrolment(
        token=token,
        name=name,
        sign_public=key.public,
        seal_public=SealingKey.generate().public,
        probe={"gpu_type": "cpu", "gflops": 100},
        lanes={"inference.cpu": 1},
        challenge=asked["challenge"],
        nonce=proof_of_work.solve(asked["challenge"], b64(key.public), asked["zeros"]),
    )


def test_a_token_carries_the_root_keys_fingerprint_and_only_its_hash_is_kept(operator: Operator) -> None:
    token = enrolment.issue_token(operator, "fra-1", utcnow())
    assert token.startswith(f"mwt_{platform_keys.root_fingerprint()[:16]}_")
    row = EnrolmentToken.objects.get()
    assert token not in (row.hash, row.id, row.name)


def test_enrolment_makes_a_node_that_waits_for_its_first_heartbeat(operator: Operator) -> None:
    node = enrolment.enrol(prepared(operator), utcnow())
    assert (node.status, node.operator_id, node.name) == (NodeStatus.PENDING, operator.pk, "fra-1")
    assert node.reason
    assert node.next_step


def test_a_token_works_once(operator: Operator) -> None:
    made = prepared(operator)
    enrolment.enrol(made, utcnow())
    with pytest.raises(errors.TokenUsed):
        enrolment.enrol(replace(made, name="fra-2", sign_public=SigningKey.generate().public), utcnow())
    assert Node.objects.count() == 1


def test_an_expired_token_is_refused(operator: Operator) -> None:
    made = prepared(operator)
    with pytest.raises(errors.TokenExpired):
        enrolment.enrol(made, utcnow() + timedelta(hours=2))
    assert not Node.objects.exists()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"token": "mwt_0000000000000000_00000000000000000000000000000000"}, errors.TokenInvalid),
        ({"token": ""}, errors.TokenInvalid),
        ({"nonce": "no"}, errors.PowInvalid),
        ({"challenge": "1.abc"}, errors.ChallengeInvalid),
        ({"challenge": ""}, errors.ChallengeInvalid),
    ],
)
def test_forged_parts_are_refused_and_leave_the_token_open(operator: Operator, change: dict, error: type) -> None:
    made = prepared(operator)
    with pytest.raises(error):
        enrolment.enrol(replace(made, **change), utcnow())
    assert not Node.objects.exists()
    assert EnrolmentToken.objects.get().used_at is None
    enrolment.enrol(made, utcnow())


def test_a_challenge_of_another_token_is_refused(operator: Operator) -> None:
    first, second = prepared(operator, "fra-1"), prepared(operator, "fra-2")
    with pytest.raises(errors.ChallengeInvalid):
        enrolment.enrol(replace(first, challenge=second.challenge, nonce=second.nonce), utcnow())


def test_a_key_or_a_name_is_enrolled_once(operator: Operator, other: Operator) -> None:
    made = prepared(operator)
    enrolment.enrol(made, utcnow())
    with pytest.raises(errors.KeyInUse):
        enrolment.enrol(prepared(other, "x", sign_public=made.sign_public), utcnow())
    with pytest.raises(errors.NameInUse):
        enrolment.issue_token(operator, "fra-1", utcnow())
    enrolment.enrol(prepared(other, "fra-1"), utcnow())


def test_without_a_stake_there_is_no_token(admin, applicant) -> None:
    from apps.operators import applications
    from tests.apps.operators.conftest import DATA

    operator = applications.approve(applications.submit(applicant, DATA, utcnow()), admin, utcnow())
    with pytest.raises(errors.StakeMissing):
        enrolment.issue_token(operator, "fra-1", utcnow())


@pytest.mark.django_db(transaction=True)
def test_a_token_used_twice_at_once_enrols_one_node(operator: Operator) -> None:
    made = prepared(operator)
    rivals = [worked(replace(made, sign_public=SigningKey.generate().public)) for _ in range(4)]

    def attempt(rival: Enrolment) -> str:
        try:
            return enrolment.enrol(rival, utcnow()).pk
        except errors.OperatorError as error:
            return error.code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(attempt, rivals))
    assert sum(outcome.startswith("node_") for outcome in outcomes) == 1
    assert Node.objects.count() == 1


def test_a_nodes_moves_follow_the_table_and_are_kept(operator: Operator) -> None:
    node = enrolment.enrol(prepared(operator), utcnow())
    with pytest.raises(errors.NodeMoveRefused):
        node.move(NodeStatus.ONLINE, "", "", utcnow())
    assert node.move(NodeStatus.SELF_TEST, "", "", utcnow())
    stale = Node.objects.get(pk=node.pk)
    assert node.move(NodeStatus.ONLINE, "", "", utcnow())
    assert not stale.move(NodeStatus.OFFLINE, "gone", "start it", utcnow())
    assert nodes.drain(node, now=utcnow())
    assert nodes.revoke(node, reason="test", now=utcnow())
    with pytest.raises(errors.NodeMoveRefused):
        nodes.resume(node, now=utcnow())
    assert list(node.events.values_list("new", flat=True)) == ["revoked", "draining", "online", "self_test", "pending"]


def test_a_challenge_goes_stale(operator: Operator) -> None:
    made = prepared(operator)
    with pytest.raises(errors.ChallengeInvalid):
        enrolment.enrol(made, utcnow() + timedelta(minutes=11))
    assert not Node.objects.exists()


def test_a_network_that_asks_for_more_work_refuses_less(operator: Operator, admin: User) -> None:
    made = prepared(operator)
    parameters.set_parameter("operators.pow_zeros", 8, actor=admin, reason="flooded", now=utcnow())
    parameters.forget_cached()
    try:
        with pytest.raises(errors.PowInvalid):
            enrolment.enrol(made, utcnow())
    finally:
        parameters.set_parameter("operators.pow_zeros", 4, actor=admin, reason="calm", now=utcnow())
        parameters.forget_cached()
    assert not Node.objects.exists()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"name": ""}, errors.NameInvalid),
        ({"name": "-a"}, errors.NameInvalid),
        ({"name": "a" * 41}, errors.NameInvalid),
        ({"name": "a\n"}, errors.NameInvalid),
        ({"name": "<b>"}, errors.NameInvalid),
        ({"sign_public": b"short"}, errors.KeyInvalid),
        ({"seal_public": b"s" * 33}, errors.KeyInvalid),
    ],
)
def test_a_malformed_name_or_key_changes_nothing(operator: Operator, change: dict, error: type) -> None:
    made = prepared(operator)
    with pytest.raises(error):
        enrolment.enrol(replace(made, **change), utcnow())
    assert not Node.objects.exists()
    assert EnrolmentToken.objects.get().used_at is None


def test_a_sealing_key_belongs_to_one_node(operator: Operator, other: Operator) -> None:
    made = prepared(operator)
    enrolment.enrol(made, utcnow())
    with pytest.raises(errors.KeyInUse):
        enrolment.enrol(prepared(other, seal_public=made.seal_public), utcnow())


def test_a_key_whose_node_was_revoked_stays_refused(operator: Operator) -> None:
    made = prepared(operator)
    nodes.revoke(enrolment.enrol(made, utcnow()), reason="Stolen.", now=utcnow())
    with pytest.raises(errors.KeyInUse):
        enrolment.enrol(prepared(operator, sign_public=made.sign_public), utcnow())


def test_a_token_of_a_suspended_operator_is_refused(operator: Operator, admin: User) -> None:
    made = prepared(operator)
    standing.suspend(operator, actor=admin, reason="Abuse.", now=utcnow())
    with pytest.raises(errors.NotApproved):
        enrolment.enrol(made, utcnow())
    assert EnrolmentToken.objects.get().used_at is None


def test_an_operator_has_so_many_nodes_and_no_more(operator: Operator, admin: User) -> None:
    parameters.set_parameter("operators.max_nodes", 1, actor=admin, reason="small", now=utcnow())
    parameters.forget_cached()
    try:
        early = prepared(operator, "fra-2")
        enrolment.enrol(prepared(operator, "fra-1"), utcnow())
        with pytest.raises(errors.TooManyNodes):
            enrolment.enrol(early, utcnow())
        with pytest.raises(errors.TooManyNodes):
            enrolment.issue_token(operator, "fra-3", utcnow())
    finally:
        parameters.set_parameter("operators.max_nodes", 20, actor=admin, reason="back", now=utcnow())
        parameters.forget_cached()
    assert Node.objects.count() == 1


def test_an_enrolment_is_in_the_event_log(operator: Operator) -> None:
    node = enrolment.enrol(prepared(operator), utcnow())
    assert Event.objects.get(kind="node.registered", subject=node.pk).actor == operator.user
    node.move(NodeStatus.SELF_TEST, "", "", utcnow())
    node.move(NodeStatus.ONLINE, "", "", utcnow())
    node.move(NodeStatus.OFFLINE, "No heartbeat.", "Start it.", utcnow())
    kinds = list(Event.objects.filter(subject=node.pk).order_by("pk").values_list("kind", flat=True))
    assert kinds == ["node.registered", "node.changed", "node.joined", "node.left"]


@pytest.mark.django_db(transaction=True)
def test_whoever_follows_nodes_hears_of_a_change_once_it_is_committed(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, str]] = []

    def listen(node_id: str, status: NodeStatus, now: datetime) -> None:
        heard.append((Node.objects.get(pk=node_id).status, status))

    def fail(node_id: str, status: NodeStatus, now: datetime) -> None:
        raise ConnectionError

    node = enrolment.enrol(prepared(operator), utcnow())
    monkeypatch.setattr(nodes, "_followers", [fail, listen])
    assert nodes.revoke(node, reason="Sold.", now=utcnow())
    assert heard == [("revoked", "revoked")]
