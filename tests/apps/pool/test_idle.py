"""Why a node was idle: each task that went elsewhere has the reason that held at that moment."""

from typing import Any

import pytest
from django.test import Client

from apps.core.models import User
from apps.operators import nodes
from apps.operators.models import Node, NodeStatus
from apps.pool import idle, node_states, self_tests, submission
from apps.pool.models import RequirementClass, Task
from tests.apps.pool.cast import NOW, Machine, embed, generate, later, machine

pytestmark = pytest.mark.django_db


def codes(node: Machine, seconds: float = 1000) -> list[str]:
    """The reasons, the oldest task first."""
    fresh = Node.objects.select_related("operator").get(pk=node.node.pk)
    return [miss.code for miss in idle.misses(fresh, later(seconds))][::-1]


def ask(rita: User, seconds: float, taker: Machine | None, request: Any = None) -> None:
    """Rita asks for one task; it goes to that node, a second later."""
    submission.submit(rita, request or embed("a", chunk_size=1), later(seconds))
    if taker is not None:
        assert len(taker.take(1, later(seconds + 1))) == 1


def drained(node: Machine, reason: str, seconds: float) -> None:
    assert Node.objects.get(pk=node.node.pk).move(NodeStatus.DRAINING, reason, "Wait.", later(seconds))


def back(node: Machine, seconds: float) -> None:
    assert Node.objects.get(pk=node.node.pk).move(NodeStatus.ONLINE, "", "", later(seconds))


def test_a_node_that_had_all_of_it_missed_nothing(ada: Machine, rita: User) -> None:
    ask(rita, 0, ada)
    assert codes(ada) == []


def test_what_another_node_took_first_was_lost_and_what_waits_can_still_come(
    ada: Machine, bert: Machine, rita: User
) -> None:
    ask(rita, 0, bert)
    ask(rita, 10, None)
    assert codes(ada) == ["lost", "waiting"]
    assert [miss.taker for miss in idle.misses(ada.node, later(20))] == [None, bert.node]


def test_the_state_is_that_of_the_moment_and_not_of_now(ada: Machine, bert: Machine, rita: User) -> None:
    bert.node.lanes = {"inference.cpu": 20}
    bert.node.save()
    ask(rita, 0, bert)
    for seconds, code in ((100, "quiet_hours"), (200, "paused"), (300, "memory_cap"), (400, "power_unmeasured")):
        drained(ada, node_states.HELD[code][0], seconds)
        ask(rita, seconds + 10, bert)
        back(ada, seconds + 50)
    drained(ada, nodes.DRAINED, 500)
    ask(rita, 510, bert)
    back(ada, 520)
    Node.objects.get(pk=ada.node.pk).move(NodeStatus.DEGRADED, "Its clock is off.", "Set it.", later(530))
    ask(rita, 540, bert)
    Node.objects.get(pk=ada.node.pk).move(NodeStatus.OFFLINE, "Silent.", "Start it.", later(550))
    ask(rita, 560, bert)
    back(ada, 570)
    ask(rita, 580, bert)
    assert codes(ada) == [
        "lost", "quiet_hours", "paused", "memory_cap", "power_cap", "draining", "degraded", "offline", "lost",
    ]  # fmt: skip


def test_a_node_whose_slots_were_taken_was_full_then(ada: Machine, bert: Machine, rita: User) -> None:
    ask(rita, 0, ada)
    ask(rita, 10, ada)
    ask(rita, 20, bert)
    Task.objects.filter(node=ada.node).update(lease_expires_at=None, status="FAILED")
    ada.node.attempts.update(ended_at=later(30))
    ask(rita, 40, bert)
    assert codes(ada) == ["full", "lost"]


def test_what_it_cannot_do_is_said_by_its_first_cause(ada: Machine, rita: User, writer: Any) -> None:
    Node.objects.filter(pk=ada.node.pk).update(served_models=["little-embedder"])
    both = machine("both")
    ask(rita, 0, both, generate("a"))
    assert codes(ada) == ["model"]
    Node.objects.filter(pk=ada.node.pk).update(served_models=[])
    RequirementClass.objects.update(min_memory_mb=2000)
    Node.objects.filter(pk=ada.node.pk).update(limits={"memory_cap_mb": 1000})
    assert codes(ada) == ["memory"]


def test_a_reputation_that_is_used_up_gets_no_work(ada: Machine, bert: Machine, rita: User) -> None:
    ask(rita, 0, bert)
    Node.objects.filter(pk=ada.node.pk).update(reputation=1)
    assert codes(ada) == ["reputation"]


def test_what_was_before_its_time_is_no_fault_of_its(bert: Machine, rita: User) -> None:
    ask(rita, 0, bert)
    newcomer = machine("newcomer", enrolled_at=later(100))
    assert codes(newcomer) == ["not_enrolled"]


def test_self_tests_and_cancelled_work_are_nothing_to_miss(ada: Machine, bert: Machine, rita: User) -> None:
    from apps.pool import cancel

    self_tests.start(bert.node, NOW)
    job = submission.submit(rita, embed("a", chunk_size=1), NOW)
    cancel.cancel(job.pk, rita, later(1))
    assert codes(ada) == []


def test_the_page_counts_reasons_and_filters_by_one(ada: Machine, bert: Machine, rita: User, client: Client) -> None:
    ask(rita, 0, bert)
    ask(rita, 10, None)
    client.force_login(ada.node.operator.user)
    page = client.get(f"/nodes/{ada.node.pk}/idle").content.decode()
    assert "Another node was first" in page
    assert "Still waiting" in page
    only = client.get(f"/nodes/{ada.node.pk}/idle?reason=lost").content.decode()
    assert (only.count("tsk_"), page.count("tsk_")) == (1, 2)


def test_it_costs_the_same_however_much_was_missed(
    ada: Machine, bert: Machine, rita: User, client: Client, django_assert_max_num_queries: Any
) -> None:
    client.force_login(ada.node.operator.user)
    costs = []
    for batch in (1, 8):
        submission.submit(rita, embed(*"abcdefgh"[:batch], chunk_size=1), later(batch))
        client.get(f"/nodes/{ada.node.pk}/idle")
        with django_assert_max_num_queries(20) as captured:
            client.get(f"/nodes/{ada.node.pk}/idle")
        costs.append(len(captured))
    assert costs[0] == costs[1]


def test_every_reason_has_words() -> None:
    assert all(words for words, _step in idle.REASONS.values())
    known = {idle.state_code(status, "") for status in NodeStatus.values} - {""}
    assert known <= set(idle.REASONS)
    assert set(idle.BY_OWN_WILL.values()) <= set(idle.REASONS)
