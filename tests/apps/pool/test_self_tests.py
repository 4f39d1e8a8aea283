"""Nodes prove themselves with known answers before they get anybody's work."""

import pytest

from apps.core.models import User
from apps.models.models import ModelVersion
from apps.operators.models import Node
from apps.pool import completion, progress, self_tests, submission
from apps.pool.models import Job
from tests.apps.pool.cast import NOW, Machine, embed, frame, later, machine, publish

pytestmark = pytest.mark.django_db


@pytest.fixture
def newcomer(embedder: ModelVersion) -> Machine:
    return machine("newcomer", status="pending")


def state(node: Machine) -> tuple[str, str]:
    return Node.objects.values_list("status", "reason").get(pk=node.node.pk)


def test_the_right_answers_bring_a_node_online(newcomer: Machine) -> None:
    [test] = self_tests.start(newcomer.node, NOW)
    assert state(newcomer)[0] == "self_test"
    assert newcomer.work(later(1)) == 1
    newcomer.node.refresh_from_db()
    assert (newcomer.node.status, newcomer.node.self_test_passed_at) == ("online", later(1))
    test.refresh_from_db()
    assert (test.price, test.hold_id, test.status) == (0, None, "COMPLETED")


def test_a_node_in_self_test_gets_nobodys_work(newcomer: Machine, ada: Machine, rita: User) -> None:
    self_tests.start(newcomer.node, NOW)
    submission.submit(rita, embed("a"), NOW)
    [task] = newcomer.take(2)
    assert Job.objects.get(pk=task.job_id).purpose == "self_test"
    newcomer.answer(task)
    [task] = newcomer.take(2)
    assert Job.objects.get(pk=task.job_id).purpose == "request"


def test_no_other_node_gets_its_self_test(newcomer: Machine, ada: Machine) -> None:
    self_tests.start(newcomer.node, NOW)
    assert ada.take(2) == []


def test_wrong_answers_three_times_degrade_a_node_with_the_reason(newcomer: Machine) -> None:
    self_tests.start(newcomer.node, NOW)
    for attempt in range(3):
        [task] = newcomer.take(now=later(attempt))
        envelope, sealed = newcomer.signed(task, frame(["wrong", "answers"]))
        assert completion.complete(envelope, sealed, newcomer.node, later(attempt)) == "failed"
    status, reason = state(newcomer)
    assert status == "degraded"
    assert "self-test of little-embedder failed" in reason
    assert "cosine" in reason
    assert newcomer.take(now=later(9)) == []


def test_one_wrong_answer_may_be_made_good(newcomer: Machine) -> None:
    self_tests.start(newcomer.node, NOW)
    [task] = newcomer.take()
    assert newcomer.report(task) == "failed"
    assert newcomer.work() == 1
    assert state(newcomer)[0] == "online"


def test_a_node_that_serves_nothing_is_degraded(embedder: ModelVersion) -> None:
    odd = machine("odd", status="pending", served_models=["another"])
    assert self_tests.start(odd.node, NOW) == []
    assert state(odd) == ("degraded", "It serves none of the models that the network offers.")


def test_every_model_that_it_serves_is_tested(newcomer: Machine) -> None:
    publish("second-embedder")
    assert len(self_tests.start(newcomer.node, NOW)) == 2
    [task] = newcomer.take(1)
    newcomer.answer(task)
    assert state(newcomer)[0] == "self_test"
    newcomer.work()
    assert state(newcomer)[0] == "online"


def test_a_second_start_replaces_the_first_test(newcomer: Machine) -> None:
    [old] = self_tests.start(newcomer.node, NOW)
    newcomer.node.move("offline", "It went away.", "Start it.", later(1))
    [new] = self_tests.start(newcomer.node, later(2))
    old.refresh_from_db()
    assert (old.status, new.status) == ("CANCELLED", "PENDING")
    assert newcomer.work(later(3)) == 1
    assert state(newcomer)[0] == "online"


def test_a_test_that_is_never_done_degrades_the_node(newcomer: Machine) -> None:
    [test] = self_tests.start(newcomer.node, NOW)
    assert progress.expire_job(test.pk, later(600))
    assert state(newcomer)[0] == "degraded"


def test_self_tests_are_nobodys_jobs(newcomer: Machine, rita: User) -> None:
    self_tests.start(newcomer.node, NOW)
    assert not Job.objects.visible_to(rita).exists()
    assert not Job.objects.requests().exists()
