"""Several processes at once: two takers of one task, completion against reaper against cancel, one key twice."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from apps.core import parameters
from apps.core.models import User
from apps.ledger import accounts
from apps.operators.account_errors import AccountGone
from apps.operators.models import Node
from apps.pool import cancel, completion, leases, self_tests, submission
from apps.pool.models import Job, Result, Task
from apps.pool.take import take
from tests.apps.ledger.waits import until_somebody_waits_for_me
from tests.apps.pool import cast
from tests.apps.pool.cast import LANE, MESH, NOW, embed, later
from tests.apps.pool.invariants import audit

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 6


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Every call in a thread of its own, begun at one moment; an error is its result."""
    ready = threading.Barrier(len(calls))

    def one(call: Callable[[], Any]) -> Any:
        try:
            ready.wait()
            return call()
        except Exception as error:  # noqa: BLE001  the test looks at it
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(one, calls))


@pytest.fixture(autouse=True)
def generous(db: None) -> Iterator[None]:
    # Nor does it matter how often the reaper comes first.
    for name, value in (("pool.jobs_per_minute", 10**6), ("pool.jobs_per_hour", 10**6), ("reputation.abandoned", 0)):
        parameters.set_parameter(name, value, actor=None, reason="test", now=NOW)
    parameters.forget_cached()
    yield
    audit()


def test_two_takers_never_get_the_same_task(rita: User, embedder: object) -> None:
    nodes = [cast.machine(f"node-{i}", slots=100) for i in range(4)]
    submission.submit(rita, embed(*"abcdefgh" * 5, chunk_size=1), NOW)

    def taker(node: cast.Machine) -> Callable[[], list[str]]:
        return lambda: [task.task_id for _ in range(8) for task in node.take(2)]

    taken = [task_id for ids in together(*map(taker, nodes)) for task_id in ids]
    assert len(taken) == len(set(taken)) == 40


def test_one_task_and_many_takers(rita: User, embedder: object) -> None:
    nodes = [cast.machine(f"node-{i}") for i in range(6)]
    for _ in range(ROUNDS):
        submission.submit(rita, embed("a"), NOW)
        found = together(*(lambda n=node: n.take(1) for node in nodes))
        assert Counter(len(tasks) for tasks in found) == {0: 5, 1: 1}
        [(node, task)] = [(n, tasks[0]) for n, tasks in zip(nodes, found, strict=True) if tasks]
        node.answer(task)


def test_a_task_whose_taker_has_not_committed_is_skipped_not_waited_for(rita: User, embedder: object) -> None:
    ada, bert = cast.machine("ada"), cast.machine("bert")
    submission.submit(rita, embed("a", "b", chunk_size=1), NOW)
    with transaction.atomic():
        [first] = ada.take(1)
        [[second]] = together(lambda: take(bert.node.pk, LANE, 1, NOW))
    assert first.task_id != second.task_id


def test_one_result_posted_twice_at_once_is_paid_once(rita: User, embedder: object) -> None:
    ada = cast.machine("ada")
    for _ in range(ROUNDS):
        before = accounts.balance(ada.node.operator.user)
        job = submission.submit(rita, embed("a"), NOW)
        [task] = ada.take()
        envelope, sealed = ada.signed(task, ada.compute(task))
        post = lambda: completion.complete(envelope, sealed, ada.node, NOW)  # noqa: B023, E731
        assert sorted(together(post, post, post)) == ["completed", "duplicate", "duplicate"]
        assert accounts.balance(ada.node.operator.user) - before == 85 * job.price // 100


def outcome_of(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    found = together(*calls)
    assert [result for result in found if isinstance(result, Exception)] == []
    return found


def test_completion_against_reaper_against_cancel(rita: User, embedder: object) -> None:
    ada = cast.machine("ada")
    for _ in range(ROUNDS):
        job = submission.submit(rita, embed("a", "b", chunk_size=1), NOW)
        tasks = ada.take(2)
        ada.start(tasks[0])
        posts = [ada.signed(task, ada.compute(task)) for task in tasks]
        outcome_of(
            [
                *(lambda p=post: completion.complete(p[0], p[1], ada.node, later(121)) for post in posts),
                lambda: leases.reap_due(later(121)),
                lambda: cancel.cancel(job.pk, rita, later(121)),  # noqa: B023
            ]
        )
        audit()
        leases.release_node(ada.node.pk, "end of the round", later(122))
        cancel.cancel(job.pk, rita, later(123))
        job.refresh_from_db()
        assert job.closed_at is not None
    paid = Result.objects.count()
    assert accounts.balance(rita) == 1000 * MESH - paid * 5 * MESH // 100


def test_takers_against_cancel(rita: User, embedder: object) -> None:
    nodes = [cast.machine(f"node-{i}", slots=50) for i in range(3)]
    for _ in range(ROUNDS):
        job = submission.submit(rita, embed(*"abcdefgh", chunk_size=1), NOW)
        outcome_of([*(lambda n=node: n.take(3) for node in nodes), lambda: cancel.cancel(job.pk, rita, NOW)])  # noqa: B023
        audit()
        cancel.cancel(job.pk, rita, NOW)
        for node in nodes:
            leases.release_node(node.node.pk, "end of the round", NOW)
        assert not Task.objects.live().exists()


def test_a_lost_node_against_its_results(rita: User, embedder: object) -> None:
    ada, bert = cast.machine("ada", slots=4), cast.machine("bert", slots=4)
    for _ in range(ROUNDS):
        job = submission.submit(rita, embed(*"abcd", chunk_size=1), NOW)
        posts = [ada.signed(task, ada.compute(task)) for task in ada.take(4)]
        outcome_of(
            [
                *(lambda p=post: completion.complete(p[0], p[1], ada.node, later(1)) for post in posts),
                lambda: leases.release_node(ada.node.pk, "gone", later(1)),
            ]
        )
        bert.work(later(2))
        job.refresh_from_db()
        assert job.status == "COMPLETED"


def test_one_idempotency_key_at_once_submits_once(rita: User, embedder: object) -> None:
    cast.machine("ada")
    submit = lambda: submission.submit(rita, embed("a"), NOW, idempotency_key="k").pk  # noqa: E731
    found = outcome_of([submit] * 4)
    assert len(set(found)) == 1
    assert Job.objects.count() == 1
    assert accounts.held(rita) == Job.objects.get().price


def test_a_wallet_cannot_be_spent_twice_at_once(embedder: object) -> None:
    cast.machine("ada")
    poor = cast.requester("poor", 5 * MESH // 100)
    found = together(*[lambda: submission.submit(poor, embed("a"), NOW)] * 4)
    assert sorted(type(result).__name__ for result in found) == ["InsufficientFunds"] * 3 + ["Job"]
    assert accounts.balance(poor) == 0


def one_waits_for_the_other(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
    """The first has done its work but not committed when the second begins, and commits a moment later."""
    done, waited = threading.Event(), threading.Event()

    def begin() -> Any:
        with transaction.atomic():
            found = first()
            done.set()
            # As long as the second could take; it cannot say that it waits.
            waited.wait(1.0)
            return found

    def follow() -> Any:
        done.wait(10)
        try:
            return second()
        finally:
            waited.set()

    one, two = outcome_of([begin, follow])
    return one, two


def test_two_takes_for_one_lane_at_once_never_exceed_its_slots(rita: User, embedder: object) -> None:
    ada = cast.machine("ada", slots=2)
    submission.submit(rita, embed(*"abcdefgh", chunk_size=1), NOW)
    first, second = one_waits_for_the_other(lambda: ada.take(2), lambda: ada.take(2))
    assert (len(first), len(second)) == (2, 0)
    assert Task.objects.held().filter(node=ada.node).count() == 2


def test_two_self_tests_that_end_at_once_bring_their_node_online(embedder: object) -> None:
    cast.publish("second-embedder")
    for number in range(ROUNDS):
        new = cast.machine(f"new-{number}", status="pending")
        jobs = self_tests.start(new.node, NOW)
        posts = [new.signed(task, new.compute(task), later(1)) for task in new.take(2)]
        assert len(jobs) == len(posts) == 2
        ends = [lambda p=post: completion.complete(p[0], p[1], new.node, later(1)) for post in posts]  # noqa: B023
        assert outcome_of(ends) == ["completed", "completed"]
        assert Node.objects.get(pk=new.node.pk).status == "online"


def test_a_self_test_waits_for_another_that_has_not_committed(embedder: object) -> None:
    cast.publish("second-embedder")
    new = cast.machine("new", status="pending")
    jobs = self_tests.start(new.node, NOW)

    end = lambda job: cancel.take_back(job.pk, "Not wanted.", later(1))  # noqa: E731
    one_waits_for_the_other(lambda: end(jobs[0]), lambda: end(jobs[1]))
    assert Node.objects.get(pk=new.node.pk).status == "degraded"


def test_a_job_waits_for_its_requesters_deletion_and_is_refused(rita: User, embedder: object) -> None:
    cast.machine("ada")

    def submit() -> str:
        try:
            submission.submit(rita, embed("a"), NOW)
        except AccountGone as error:
            return error.code
        finally:
            connection.close()
        return "done"

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            assert User.objects.locked(rita.pk)
            answer = threads.submit(submit)
            until_somebody_waits_for_me()
            User.objects.filter(pk=rita.pk).update(is_active=False)
        assert answer.result() == "account_gone"
    assert not Job.objects.exists()
