"""Leases, lost nodes, attempts and their end."""

from datetime import timedelta
from typing import Any

import pytest

from apps.core.models import Event, User
from apps.ledger import accounts
from apps.operators.models import ReputationChange
from apps.pool import cancel, completion, leases, progress, submission
from apps.pool.leases import Reaper
from apps.pool.models import Attempt, Task
from apps.pool.ordering import raised
from tests.apps.pool.cast import MESH, NOW, Machine, embed, later

pytestmark = pytest.mark.django_db


def test_a_silent_nodes_task_goes_back_to_pending(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    [taken] = ada.take()
    ada.start(taken)
    assert leases.reap_due(later(119)) == 0
    assert leases.reap_due(later(121)) == 1
    task = Task.objects.get()
    assert (task.status, task.node_id, task.failures, task.lease_expires_at) == ("PENDING", None, 1, None)
    attempt = Attempt.objects.get()
    assert (attempt.status, attempt.counted, attempt.code, attempt.ended_at) == (
        "expired",
        True,
        "lease_expired",
        later(121),
    )


def test_a_task_taken_back_has_raised_priority(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    before = Task.objects.get().order_key
    ada.take()
    leases.reap_due(later(121))
    assert Task.objects.get().order_key == raised(before) < before


def test_another_node_is_preferred_for_a_while(rita: User, ada: Machine, bert: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    ada.take()
    leases.reap_due(later(121))
    assert ada.take(now=later(122)) == []
    assert len(bert.take(now=later(122))) == 1


def test_a_lone_node_gets_its_task_back_after_that_while(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    ada.take()
    leases.reap_due(later(121))
    [again] = ada.take(now=later(127))
    assert again.attempt == 2


def test_three_attempts_and_the_job_fails_with_reasons(rita: User, ada: Machine, bert: Machine) -> None:
    job = submission.submit(rita, embed("a", "b", chunk_size=1), NOW)
    moment = 0
    for node in (ada, bert, ada):
        [taken] = node.take(now=later(moment))
        assert taken.index == 0
        moment += 130
        leases.reap_due(later(moment))
    first, second = job.tasks.order_by("index")
    assert (first.status, first.failures, first.error_code) == ("FAILED", 3, "lease_expired")
    assert second.status == "CANCELLED"
    job.refresh_from_db()
    assert (job.status, job.tasks_failed, job.tasks_cancelled, job.closed_at) == ("FAILED", 1, 1, later(390))
    assert job.reason.startswith("Chunk 1 failed. attempt 1 on ada: The node was not heard from")
    assert "attempt 3" in job.reason
    assert job.next_step
    assert accounts.balance(rita) == 1000 * MESH


def test_heartbeats_extend_a_lease_but_never_past_the_deadline(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    [taken] = ada.take()
    assert leases.extend(ada.node.pk, [taken.task_id], later(60)) == []
    assert Task.objects.get().lease_expires_at == later(180)
    leases.extend(ada.node.pk, [taken.task_id], later(890))
    assert Task.objects.get().lease_expires_at == taken.deadline == later(900)
    assert leases.reap_due(later(901)) == 1
    assert Attempt.objects.get().code == "attempt_deadline"


def test_an_old_heartbeat_does_not_shorten_a_lease(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    [taken] = ada.take()
    leases.extend(ada.node.pk, [taken.task_id], later(60))
    leases.extend(ada.node.pk, [taken.task_id], later(10))
    assert Task.objects.get().lease_expires_at == later(180)


def test_a_heartbeat_learns_which_tasks_are_no_longer_its_own(rita: User, ada: Machine, bert: Machine) -> None:
    job = submission.submit(rita, embed("a", "b", chunk_size=1), NOW)
    mine, gone = ada.take(2)
    ada.start(mine)
    cancel.cancel(job.pk, rita, later(1))
    told = leases.extend(ada.node.pk, [mine.task_id, gone.task_id, "tsk_unknown"], later(2))
    assert told == [gone.task_id, "tsk_unknown"]
    assert leases.extend(bert.node.pk, [mine.task_id], later(2)) == [mine.task_id]
    assert leases.extend(ada.node.pk, [], later(2)) == []


def test_a_lost_nodes_tasks_are_taken_back_at_once(rita: User, ada: Machine, bert: Machine) -> None:
    submission.submit(rita, embed("a", "b", chunk_size=1), NOW)
    ada.take(2)
    assert leases.release_node(ada.node.pk, "Its socket closed.", later(3)) == 2
    assert Task.objects.pending().count() == 2
    assert set(Attempt.objects.values_list("status", "code", "counted")) == {("released", "node_lost", True)}
    assert len(bert.take(2, later(3))) == 2
    assert leases.release_node(ada.node.pk, "again", later(4)) == 0


def test_a_drain_does_not_count_as_an_attempt(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    for round_ in range(5):
        assert len(ada.take(now=later(round_ * 10))) == 1
        leases.release_node(ada.node.pk, "It drains.", later(round_ * 10), counted=False)
    task = Task.objects.get()
    assert (task.status, task.failures, task.attempt) == ("PENDING", 0, 5)


def test_handing_back_does_not_count_as_an_attempt(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    [taken] = ada.take()
    assert completion.hand_back(taken.task_id, 1, ada.node, "the node was stopped", later(1)) == "pending"
    assert completion.hand_back(taken.task_id, 1, ada.node, "the node was stopped", later(1)) == "superseded"
    task = Task.objects.get()
    assert (task.status, task.failures) == ("PENDING", 0)


def test_a_chunk_that_always_comes_back_fails_after_five_times_the_attempts(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("a", "b", chunk_size=1), NOW)
    first = job.tasks.get(index=0)
    for number in range(1, 16):
        [taken] = ada.take(now=later(number * 10))
        assert (taken.task_id, taken.attempt) == (first.pk, number)
        completion.hand_back(first.pk, number, ada.node, "the lane process ended with -11", later(number * 10 + 1))
        first.refresh_from_db()
        assert first.status == ("FAILED" if number == 15 else "PENDING")
    job.refresh_from_db()
    assert (first.failures, first.error_code) == (0, "given_out_too_often")
    assert (job.status, job.tasks_failed, job.tasks_cancelled, job.closed_at) == ("FAILED", 1, 1, later(151))
    assert job.reason.startswith("Chunk 1 failed. It was given out 15 times and came back each time")
    assert job.reason.endswith("the lane process ended with -11")
    assert accounts.balance(rita) == 1000 * MESH
    assert set(Attempt.objects.values_list("status", "counted")) == {("handed_back", False)}
    assert not ReputationChange.objects.exists()


def test_a_task_handed_back_after_its_jobs_time_is_not_tried_again(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("a"), NOW)
    [early] = ada.take()
    assert completion.hand_back(early.task_id, 1, ada.node, "stopped", later(86_399)) == "pending"
    [late] = ada.take(now=later(86_399 + 10))
    assert not progress.expire_job(job.pk, later(86_399 + 10))
    completion.hand_back(late.task_id, 2, ada.node, "stopped", later(86_399 + 11))
    job.refresh_from_db()
    task = job.tasks.get()
    assert (task.status, task.failures, task.error_code) == ("FAILED", 0, "job_expired")
    assert (job.status, job.closed_at) == ("FAILED", later(86_399 + 11))
    assert job.reason == "Chunk 1 failed. The job's time was over when it came back: stopped"
    assert job.next_step
    assert accounts.balance(rita) == 1000 * MESH


def test_a_late_result_of_a_task_taken_back_is_superseded(rita: User, ada: Machine, bert: Machine) -> None:
    job = submission.submit(rita, embed("a"), NOW)
    [taken] = ada.take()
    envelope, sealed = ada.signed(taken, ada.compute(taken))
    leases.release_node(ada.node.pk, "gone", later(1))
    assert completion.complete(envelope, sealed, ada.node, later(2)) == "superseded"
    assert bert.work(later(3)) == 1
    assert completion.complete(envelope, sealed, ada.node, later(4)) == "superseded"
    assert accounts.balance(ada.node.operator.user) == 0
    assert accounts.balance(bert.node.operator.user) == 85 * job.price // 100


def test_a_task_that_changes_hands_while_its_result_is_opened_is_superseded(
    rita: User, ada: Machine, bert: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission.submit(rita, embed("a"), NOW)
    [taken] = ada.take()
    envelope, sealed = ada.signed(taken, ada.compute(taken))
    opened = completion._opened

    def meanwhile(*arguments: Any) -> bytes:
        leases.release_node(ada.node.pk, "gone", later(1))
        assert len(bert.take(now=later(2))) == 1
        return opened(*arguments)

    monkeypatch.setattr(completion, "_opened", meanwhile)
    assert completion.complete(envelope, sealed, ada.node, later(3)) == "superseded"
    task = Task.objects.get()
    assert (task.status, task.node_id, task.attempt) == ("CLAIMED", bert.node.pk, 2)
    assert accounts.balance(ada.node.operator.user) == 0


def test_starting_a_task_taken_back_is_refused(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    [taken] = ada.take()
    leases.release_node(ada.node.pk, "gone", later(1))
    assert ada.start(taken, later(2)) == "superseded"


def test_starting_twice_is_still_running(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    [taken] = ada.take()
    assert [ada.start(taken), ada.start(taken, later(1))] == ["running", "running"]
    assert Task.objects.get().started_at == NOW


def test_the_reaper_waits_two_heartbeats_after_its_own_start(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    ada.take()
    reaper = Reaper(later(500))
    assert [reaper.reap(later(500 + s)) for s in range(0, 60, 5)] == [0] * 12
    assert reaper.reap(later(560)) == 1


def test_the_reaper_waits_again_after_a_gap_of_its_own(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    ada.take()
    reaper = Reaper(NOW - timedelta(seconds=100))
    reaper.reap(later(0))
    assert reaper.reap(later(300)) == 0
    assert [reaper.reap(later(300 + s)) for s in range(5, 60, 5)] == [0] * 11
    assert reaper.reap(later(360)) == 1


def test_every_return_to_the_queue_is_in_the_event_log(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    [taken] = ada.take()
    leases.reap_due(later(121))
    event = Event.objects.get(kind="task.requeued")
    assert (event.subject, event.data["code"], event.data["node"]) == (taken.task_id, "lease_expired", ada.node.pk)
