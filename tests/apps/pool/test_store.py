"""Tasks from creation to their result: what the sources' TaskStore promises, and what the pool adds."""

import pytest
from django.db import IntegrityError, transaction

from apps.core.models import Event, User
from apps.ledger import accounts
from apps.ledger.models import Hold
from apps.pool import cancel, results, submission
from apps.pool.models import Attempt, Job, Payload, Result, Task, TaskStatus
from tests.apps.pool.cast import MESH, NOW, Machine, embed, frame, later

pytestmark = pytest.mark.django_db


def test_a_task_is_created_with_an_id_and_a_timestamp(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("one"), NOW)
    task = job.tasks.get()
    assert task.pk.startswith("tsk_")
    assert (task.status, task.created_at, task.index, task.job_id) == ("PENDING", NOW, 0, job.pk)


def test_a_pending_task_is_claimed(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("one"), NOW)
    [taken] = ada.take()
    task = job.tasks.get()
    assert (taken.task_id, taken.attempt) == (task.pk, 1)
    assert (task.status, task.node_id, task.claimed_at) == ("CLAIMED", ada.node.pk, NOW)
    assert task.lease_expires_at == later(120)
    job.refresh_from_db()
    assert (job.status, job.started_at) == ("RUNNING", NOW)
    assert Attempt.objects.get().task_id == task.pk


def test_a_claimed_task_is_not_claimed_again(rita: User, ada: Machine, bert: Machine) -> None:
    submission.submit(rita, embed("one"), NOW)
    assert len(ada.take()) == 1
    assert bert.take() == []
    assert ada.take() == []


def test_a_completed_task_has_its_result_under_its_own_id(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("one", "two"), NOW)
    [taken] = ada.take()
    assert ada.start(taken) == "running"
    assert ada.answer(taken, later(1)) == "completed"
    result = Result.objects.get(pk=taken.task_id)
    assert (result.node_id, result.items, result.completed_at) == (ada.node.pk, 2, later(1))
    job.refresh_from_db()
    assert (job.status, job.tasks_done, job.closed_at) == ("COMPLETED", 1, later(1))
    assert results.parts(job)[0].plain == frame(["one", "two"])


def test_a_task_without_result_has_none(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("one"), NOW)
    assert not Result.objects.filter(task__job=job).exists()


def test_pending_tasks_are_listed(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed(*"abcde", chunk_size=1), NOW)
    assert Task.objects.pending().count() == 5
    ada.take(2)
    assert Task.objects.pending().count() == 3


def test_a_requester_finds_their_own_jobs_only(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("one"), NOW)
    other = User.objects.create_user(email="other@example.org", password="x")
    assert list(Job.objects.visible_to(rita)) == [job]
    assert list(Job.objects.visible_to(other)) == []


def test_every_step_of_a_task_is_in_the_event_log(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("one"), NOW)
    [taken] = ada.take()
    ada.start(taken)
    ada.answer(taken)
    kinds = list(Event.objects.filter(subject=taken.task_id).order_by("pk").values_list("kind", flat=True))
    assert kinds == ["task.created", "task.claimed", "task.started", "task.completed"]


def test_payload_and_result_are_encrypted_at_rest(rita: User, ada: Machine) -> None:
    secret = "a text that nobody may read from the disk"
    submission.submit(rita, embed(secret), NOW)
    ada.work()
    assert secret.encode() not in bytes(Payload.objects.get().ciphertext)
    assert frame([secret]) not in bytes(Result.objects.get().ciphertext)


def test_two_texts_of_one_job_are_two_different_ciphertexts(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("same", "same", chunk_size=1), NOW)
    first, second = (bytes(p.ciphertext) for p in Payload.objects.all())
    assert first != second


def test_the_whole_fee_is_held_and_each_chunk_paid_once(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed(*"abcd"), NOW)
    assert job.price == 2 * 5 * MESH // 100
    assert accounts.held(rita) == job.price
    assert accounts.balance(rita) == 1000 * MESH - job.price
    assert ada.work() == 2
    hold = Hold.objects.get(pk=job.hold_id)
    assert (hold.status, hold.settled, hold.released) == ("settled", job.price, 0)
    assert accounts.balance(ada.node.operator.user) == 85 * job.price // 100
    assert accounts.held(rita) == 0


def test_the_same_result_again_is_a_duplicate_and_not_paid_again(rita: User, ada: Machine) -> None:
    from apps.pool import completion

    submission.submit(rita, embed("one"), NOW)
    ada.work()
    paid = accounts.balance(ada.node.operator.user)
    [(envelope, sealed)] = ada.answered
    assert completion.complete(envelope, sealed, ada.node, later(2)) == "duplicate"
    assert accounts.balance(ada.node.operator.user) == paid
    assert Result.objects.count() == 1


def test_cancelling_takes_back_what_nobody_has_started(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed(*"abc", chunk_size=1), NOW)
    running, claimed = ada.take(2)
    assert ada.start(running) == "running"
    assert cancel.cancel(job.pk, rita, later(1)) == 2
    assert ada.start(claimed) == "cancelled"
    job.refresh_from_db()
    assert (job.status, job.closed_at) == ("CANCELLED", None)
    assert ada.answer(running, later(2)) == "completed"
    job.refresh_from_db()
    assert (job.tasks_done, job.tasks_cancelled, job.closed_at) == (1, 2, later(2))
    assert accounts.balance(rita) == 1000 * MESH - job.price_per_chunk
    assert accounts.held(rita) == 0


def test_cancelling_twice_changes_nothing(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("one"), NOW)
    assert cancel.cancel(job.pk, rita, later(1)) == 1
    assert cancel.cancel(job.pk, rita, later(2)) == 0
    job.refresh_from_db()
    assert (job.status, job.finished_at, job.reason) == ("CANCELLED", later(1), "Cancelled by its requester.")
    assert accounts.balance(rita) == 1000 * MESH


def test_the_database_refuses_a_held_task_without_a_node(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("one"), NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        Task.objects.update(status=TaskStatus.RUNNING)


def test_the_database_refuses_to_close_a_job_with_open_chunks(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("one"), NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.update(closed_at=NOW)
