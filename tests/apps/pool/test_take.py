"""Taking work: who gets which task."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core import parameters
from apps.core.models import User
from apps.models.models import ModelVersion
from apps.operators.models import Node, NodeStatus
from apps.pool import classes, submission
from apps.pool.errors import NoNodeFits
from apps.pool.models import NodeClass, RequirementClass, Task
from apps.pool.take import take
from tests.apps.pool.cast import (
    EMBEDDER,
    LANE,
    NOW,
    Machine,
    embed,
    generate,
    later,
    machine,
    operator,
    publish,
    requester,
)

pytestmark = pytest.mark.django_db


def test_a_node_ignores_tasks_of_models_that_it_does_not_serve(rita: User, ada: Machine, writer: ModelVersion) -> None:
    only_writer = machine("wanda", served_models=["little-writer"])
    submission.submit(rita, embed("a"), NOW)
    assert only_writer.take() == []
    assert len(ada.take()) == 1


def test_a_node_never_has_more_than_its_slots(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed(*"abcdef", chunk_size=1), NOW)
    assert len(ada.take(10)) == 2
    assert ada.take(10) == []
    held = Task.objects.held().first()
    assert held is not None


def test_a_free_slot_is_filled_again(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed(*"abc", chunk_size=1), NOW)
    first, _ = ada.take(10)
    ada.answer(first)
    assert len(ada.take(10)) == 1


@pytest.mark.parametrize("status", [s for s in NodeStatus if s != NodeStatus.ONLINE])
def test_a_node_that_is_not_online_gets_nothing(rita: User, ada: Machine, status: NodeStatus) -> None:
    submission.submit(rita, embed("a"), NOW)
    Node.objects.filter(pk=ada.node.pk).update(status=status, reason="because")
    assert ada.take() == []


def test_a_node_of_a_suspended_operator_gets_nothing(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    ada.node.operator.status, ada.node.operator.reason = "suspended", "A test."
    ada.node.operator.save()
    assert ada.take() == []


def test_an_unknown_node_or_lane_gets_nothing(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    assert take("node_nobody", LANE, 5, NOW) == []
    assert ada.take(lane="scan") == []
    assert ada.take(0) == []


def test_chunks_are_taken_in_order(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed(*"abc", chunk_size=1), NOW)
    assert [task.index for task in ada.take(2)] == [0, 1]


def test_a_lower_priority_number_comes_first(rita: User, ada: Machine) -> None:
    patient = submission.submit(rita, embed("a", priority=6), NOW)
    urgent = submission.submit(rita, embed("b", priority=2), later(5))
    assert [task.job_id for task in ada.take(2, later(6))] == [urgent.pk, patient.pk]


def test_a_large_job_does_not_hold_up_the_next_requester(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed(*"abcdefgh" * 5, chunk_size=1), NOW)
    small = submission.submit(requester("sam"), embed("z"), later(0.2))
    taken = [
        job_id for _ in range(6) for t in ada.take(1, later(1)) for job_id in (t.job_id,) if ada.answer(t, later(1))
    ]
    assert small.pk in taken


def test_heads_of_several_classes_are_merged_by_their_order(rita: User, ada: Machine, writer: ModelVersion) -> None:
    classes.refresh_node(ada.node, NOW)
    first = submission.submit(rita, generate("x"), NOW)
    second = submission.submit(rita, embed("a"), later(1))
    third = submission.submit(rita, generate("y"), later(2))
    wide = machine("wide", slots=8)
    assert [t.job_id for t in wide.take(8, later(3))] == [first.pk, second.pk, third.pk]


def test_one_machine_may_be_requester_and_node(embedder: ModelVersion) -> None:
    self_made = requester("self")
    own = machine("own", operator("own-op", user=self_made))
    job = submission.submit(self_made, embed("a"), NOW)
    assert own.work() == 1
    job.refresh_from_db()
    assert job.status == "COMPLETED"


def test_taking_is_a_constant_number_of_queries(rita: User, ada: Machine) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert machine_.take(8)
        return len([q for q in captured if "SAVEPOINT" not in q["sql"]])

    machine_ = machine("wide", slots=100)
    parameters.get("pool.lease_floor_s")
    submission.submit(rita, embed(*"abcdefgh", chunk_size=1), NOW)
    few = queries()
    submission.submit(rita, embed(*"abcdefgh" * 20, chunk_size=1), NOW)
    assert queries() == few


def test_the_lease_follows_the_work_and_never_passes_the_deadline(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed(*"ab" * 500, chunk_size=400), NOW)
    [task] = ada.take()
    assert task.lease_expires_at == later(200)
    parameters.set_parameter("pool.attempt_deadline_s", 30, actor=None, reason="test", now=NOW)
    parameters.forget_cached()
    [task] = ada.take()
    assert task.lease_expires_at == task.deadline == later(30)


def test_only_the_machine_with_the_key_can_open_its_task(rita: User, ada: Machine, bert: Machine) -> None:
    from workers.protocol.errors import SealBroken

    submission.submit(rita, embed("secret"), NOW)
    [task] = ada.take()
    assert ada.payload(task) == {"inputs": ["secret"]}
    bert.node = ada.node
    with pytest.raises(SealBroken):
        bert.payload(task)


def test_a_nodes_classes_follow_what_it_serves(rita: User, ada: Machine) -> None:
    classes.set_served(ada.node, ["another"], NOW)
    assert not NodeClass.objects.filter(node=ada.node, requires__model=EMBEDDER).exists()
    with pytest.raises(NoNodeFits):
        submission.submit(rita, embed("a"), NOW)
    classes.set_served(ada.node, [], NOW)
    submission.submit(rita, embed("a"), NOW)
    assert len(ada.take()) == 1


def test_refusals_are_counted_by_reason(embedder: ModelVersion) -> None:
    for i in range(3):
        machine(f"other-{i}", served_models=["another"])
    machine("small", probe={"memory_mb": 50, "frameworks": ["onnxruntime"]})
    machine("laneless", lanes={"scan": 1})
    machine("bare", probe={"memory_mb": 500, "frameworks": []})
    machine("away", status="offline", reason="gone")
    full = machine("full", slots=1)
    machine("free")
    rita = requester()
    submission.submit(rita, embed("a"), NOW)
    assert len(full.take()) == 1
    stand = classes.feasibility(RequirementClass.objects.get())
    assert stand.refusals == (("model", 3), ("offline", 1), ("framework", 1), ("lane", 1), ("memory", 1), ("full", 1))
    assert (stand.nodes, stand.fit, stand.slots, stand.busy, stand.feasible) == (9, 2, 3, 1, True)
    assert stand.sentence() == (
        "9 nodes: 3 lack the model, 1 is not online, 1 lacks the framework, 1 has no lane for it, 1 is too small,"
        " 1 is full, 1 can take it now"
    )


def test_a_network_without_nodes_says_so(embedder: ModelVersion) -> None:
    needs = classes.for_version(embedder, "embed", NOW)
    assert classes.feasibility(needs).sentence() == "The network has no nodes yet."
    assert not classes.feasibility(needs).feasible


def test_equal_needs_share_one_class(embedder: ModelVersion) -> None:
    assert classes.for_version(embedder, "embed", NOW) == classes.for_version(embedder, "embed", later(5))
    other = publish("another")
    assert classes.for_version(other, "embed", NOW) != classes.for_version(embedder, "embed", NOW)
