"""Many results at once: accepted together, each for itself, counted and paid once whatever else is in the batch."""

from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.errors import MeshError
from apps.core.models import User
from apps.ledger import accounts, holds
from apps.operators.models import Node, ReputationChange
from apps.pool import cancel, completion, leases, submission
from apps.pool.completion import Answer
from apps.pool.models import Attempt, Job, Result, TaskStatus
from tests.apps.pool import cast
from tests.apps.pool.cast import NOW, embed, later
from tests.apps.pool.invariants import audit
from tests.apps.pool.test_races import ROUNDS, generous, together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("generous")]
assert generous


def answers(node: cast.Machine, tasks: list[cast.Assignment]) -> list[Answer]:
    return [Answer(*node.signed(task, node.compute(task))) for task in tasks]


def codes(outcomes: list[completion.Outcome | MeshError]) -> list[str]:
    return [outcome if isinstance(outcome, str) else outcome.code for outcome in outcomes]


def test_results_of_several_jobs_are_accepted_and_paid_together(rita: User, embedder: object) -> None:
    ada = cast.machine("ada", slots=20)
    jobs = [submission.submit(rita, embed(*"abc", chunk_size=1), NOW) for _ in range(4)]
    batch = answers(ada, ada.take(12))
    before = accounts.balance(ada.node.operator.user)
    assert codes(completion.complete_many(batch, ada.node, later(1))) == ["completed"] * 12
    assert {job.status for job in Job.objects.filter(pk__in=[job.pk for job in jobs])} == {TaskStatus.COMPLETED}
    fee = sum(85 * job.price_per_chunk // 100 for job in jobs for _ in range(3))
    assert accounts.balance(ada.node.operator.user) - before == fee
    assert Attempt.objects.filter(ended_at=None).count() == 0
    assert codes(completion.complete_many(batch, ada.node, later(2))) == ["duplicate"] * 12
    assert accounts.balance(ada.node.operator.user) - before == fee


def test_a_batch_asks_no_more_of_the_database_than_its_results_need(rita: User, embedder: object) -> None:
    ada = cast.machine("ada", slots=40)
    submission.submit(rita, embed(*"abcdefghijklmnopqrstuvwx", chunk_size=1), NOW)
    asked = []
    for size in (1, 4, 16):
        batch = answers(ada, ada.take(size))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            completion.complete_many(batch, ada.node, later(1))
        asked.append(len(queries))
    # One to find each, one to move each; all else is asked once.
    assert asked[1] - asked[0] <= 2 * 3
    assert asked[2] - asked[1] <= 2 * 12


def test_what_holds_in_a_batch_is_accepted_and_the_rest_is_told_why(rita: User, embedder: object) -> None:
    ada, bert = cast.machine("ada", slots=20), cast.machine("bert", slots=20)
    job = submission.submit(rita, embed(*"abcdef", chunk_size=1), NOW)
    mine, theirs = ada.take(5), bert.take(1)
    batch = answers(ada, mine)
    batch[1] = Answer(*ada.signed(mine[1], None))
    batch[2] = Answer(*ada.signed(mine[2], b"no vectors"))
    batch[3] = Answer(batch[3].envelope, batch[3].sealed + b"x")
    batch += [batch[0], Answer(*ada.signed(theirs[0], b""))]
    told = codes(completion.complete_many(batch, ada.node, later(1)))
    assert told == ["completed", "failed", "failed", "result_refused", "completed", "duplicate", "not_assigned"]
    job.refresh_from_db()
    assert (job.tasks_done, Result.objects.filter(task__job=job).count()) == (2, 2)


def test_a_result_that_cannot_be_paid_costs_no_other(rita: User, embedder: object) -> None:
    ada = cast.machine("ada", slots=20)
    jobs = [submission.submit(rita, embed("a"), NOW) for _ in range(5)]
    batch = answers(ada, ada.take(5))
    hold = Job.objects.get(pk=batch[3].envelope.body["job"]).hold_id
    assert isinstance(hold, UUID)
    # A fault of ours: nothing gives back the hold of a job that runs.
    holds.void(hold, now=NOW)
    told = codes(completion.complete_many(batch, ada.node, later(1)))
    assert told == ["completed"] * 3 + ["hold_closed", "completed"]
    stand = Counter(Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("status", flat=True))
    assert stand == {TaskStatus.COMPLETED: 4, TaskStatus.RUNNING: 1}
    assert ReputationChange.objects.filter(node=ada.node).count() == 4
    cancel.cancel(str(batch[3].envelope.body["job"]), rita, later(2))


def test_reputation_moves_once_for_each_result(rita: User, embedder: object) -> None:
    ada = cast.machine("ada", slots=20)
    Node.objects.filter(pk=ada.node.pk).update(reputation=95, reputation_rest=50)
    submission.submit(rita, embed(*"abcdef", chunk_size=1), NOW)
    tasks = ada.take(6)
    completion.complete_many(answers(ada, tasks), ada.node, later(1))
    lines = ReputationChange.objects.filter(node=ada.node).order_by("pk")
    assert list(lines.values_list("change", "score")) == [(200, 9750), (200, 9950), (50, 10000)]
    assert list(lines.values_list("detail", flat=True)) == [task.task_id for task in tasks[:3]]
    ada.node.refresh_from_db()
    assert (ada.node.reputation, ada.node.reputation_rest) == (100, 0)


def test_batches_that_overlap_count_each_result_once(rita: User, embedder: object) -> None:
    ada = cast.machine("ada", slots=30)
    for round_ in range(ROUNDS):
        jobs = [submission.submit(rita, embed("a", "b", chunk_size=1), NOW) for _ in range(5)]
        before = accounts.balance(ada.node.operator.user)
        batch = answers(ada, ada.take(10))
        shuffled = [batch, batch[::-1], batch[5:] + batch[:5]]
        posts = [lambda b=b: completion.complete_many(b, ada.node, later(round_)) for b in shuffled]  # noqa: B023
        found = together(*posts, lambda: leases.release_node("node_none", "nothing", NOW))
        assert not [one for one in found if isinstance(one, Exception)]
        told = Counter(code for outcomes in found[:3] for code in codes(outcomes))
        assert told == {"completed": 10, "duplicate": 20}
        fees = sum(85 * one.price // 100 for one in jobs)
        assert accounts.balance(ada.node.operator.user) - before == fees
        audit()


def test_a_batch_against_cancel_and_reaper(rita: User, embedder: object) -> None:
    ada = cast.machine("ada", slots=30)
    for _ in range(ROUNDS):
        jobs = [submission.submit(rita, embed("a", "b", chunk_size=1), NOW) for _ in range(4)]
        batch = answers(ada, ada.take(8))
        found = together(
            lambda: completion.complete_many(batch, ada.node, later(121)),  # noqa: B023
            lambda: leases.reap_due(later(121)),
            *(lambda j=job: cancel.cancel(j.pk, rita, later(121)) for job in jobs),
        )
        assert not [one for one in found if isinstance(one, Exception)]
        audit()
        leases.release_node(ada.node.pk, "end of the round", NOW + timedelta(seconds=122))
        for job in jobs:
            cancel.cancel(job.pk, rita, later(123))
