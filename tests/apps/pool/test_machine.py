"""Everything that can happen to a job, in any order; after each step nothing is lost and nothing is paid twice."""

from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from apps.core import parameters
from apps.ledger import accounts, holds
from apps.ledger.errors import InsufficientFunds
from apps.pool import cancel, completion, leases, progress, submission
from apps.pool.errors import NoNodeFits
from apps.pool.models import Job
from apps.pool.take import Assignment
from tests.apps.pool import cast
from tests.apps.pool.cast import MESH, Machine, embed, frame, later
from tests.apps.pool.invariants import audit

NODES = st.integers(0, 2)
PICK = st.integers(0, 50)


class PoolMachine(RuleBasedStateMachine):
    """Two requesters, three nodes, a clock that only goes forward."""

    def __init__(self) -> None:
        super().__init__()
        self.sandbox: Any = transaction.atomic()
        # As in a test case, so that durable blocks may nest in it.
        self.sandbox._from_testcase = True
        self.sandbox.__enter__()
        cast.publish()
        self.people = [cast.requester("rita", 3 * MESH), cast.requester("sam", MESH)]
        self.nodes = [cast.machine(name) for name in ("ada", "bert", "cleo")]
        self.moment = 0.0
        self.taken: list[tuple[Machine, Assignment]] = []
        self.sent: list[tuple[Machine, Any, bytes]] = []
        for name, value in (("pool.jobs_per_minute", 10**6), ("pool.jobs_per_hour", 10**6)):
            parameters.set_parameter(name, value, actor=None, reason="test", now=cast.NOW)
        parameters.forget_cached()

    def teardown(self) -> None:
        """Whatever came before, nodes that go on working bring every job to its end."""
        for _ in range(4):
            self.wait(1000)
            for machine in self.nodes:
                machine.work(self.now)
        assert not Job.objects.open().exists()
        audit()
        transaction.set_rollback(True)
        self.sandbox.__exit__(None, None, None)
        completion.manifest_of.cache_clear()
        parameters.forget_cached()

    @property
    def now(self) -> Any:
        return later(self.moment)

    def assignment(self, pick: int) -> tuple[Machine, Assignment] | None:
        return self.taken[pick % len(self.taken)] if self.taken else None

    @rule(person=st.integers(0, 1), inputs=st.integers(1, 6), size=st.integers(1, 3), priority=st.integers(1, 9))
    def submit(self, person: int, inputs: int, size: int, priority: int) -> None:
        asked = embed(*"abcdef"[:inputs], chunk_size=size, priority=priority)
        try:
            submission.submit(self.people[person], asked, self.now)
        except (InsufficientFunds, NoNodeFits):
            return

    @rule(node=NODES, n=st.integers(1, 3), start=st.booleans())
    def take(self, node: int, n: int, *, start: bool) -> None:
        machine = self.nodes[node]
        for task in machine.take(n, self.now):
            self.taken.append((machine, task))
            assert not start or machine.start(task, self.now) == "running"

    @rule(pick=PICK)
    def start(self, pick: int) -> None:
        if found := self.assignment(pick):
            assert found[0].start(found[1], self.now) in {"running", "superseded", "cancelled"}

    @rule(pick=PICK)
    def complete(self, pick: int) -> None:
        if found := self.assignment(pick):
            machine, task = found
            envelope, sealed = machine.signed(task, frame(["x"] * task.items), self.now)
            self.sent.append((machine, envelope, sealed))
            outcome = completion.complete(envelope, sealed, machine.node, self.now)
            assert outcome in {"completed", "duplicate", "superseded", "cancelled"}

    @rule(pick=PICK)
    def send_again(self, pick: int) -> None:
        if self.sent:
            machine, envelope, sealed = self.sent[pick % len(self.sent)]
            assert completion.complete(envelope, sealed, machine.node, self.now) != "completed"

    @rule(pick=PICK)
    def fail(self, pick: int) -> None:
        if found := self.assignment(pick):
            assert found[0].report(found[1], self.now) != "completed"

    @rule(pick=PICK)
    def answer_nonsense(self, pick: int) -> None:
        if found := self.assignment(pick):
            machine, task = found
            envelope, sealed = machine.signed(task, b"nonsense", self.now)
            assert completion.complete(envelope, sealed, machine.node, self.now) != "completed"

    @rule(pick=PICK)
    def hand_back(self, pick: int) -> None:
        if found := self.assignment(pick):
            machine, task = found
            completion.hand_back(task.task_id, task.attempt, machine.node, "stopped", self.now)

    @rule(pick=PICK)
    def beat(self, pick: int) -> None:
        if found := self.assignment(pick):
            leases.extend(found[0].node.pk, [found[1].task_id], self.now)

    @rule(node=NODES, counted=st.booleans())
    def lose_node(self, node: int, *, counted: bool) -> None:
        leases.release_node(self.nodes[node].node.pk, "gone", self.now, counted=counted)

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        jobs = list(Job.objects.order_by("pk"))
        if jobs:
            job = jobs[pick % len(jobs)]
            cancel.cancel(job.pk, job.requester, self.now)  # type: ignore[arg-type]

    @rule(node=NODES)
    def cancel_what_has_begun(self, node: int) -> None:
        """A job ends while one of its chunks runs: rare by chance, and where counting is hardest."""
        self.submit(0, 3, 1, 1)
        self.take(node, 1, start=True)
        if self.taken:
            job = Job.objects.get(pk=self.taken[-1][1].job_id)
            cancel.cancel(job.pk, job.requester, self.now)  # type: ignore[arg-type]

    @rule(seconds=st.sampled_from([0.5, 10, 130, 1000, 50_000]))
    def wait(self, seconds: float) -> None:
        self.moment += seconds
        leases.reap_due(self.now)
        for pk in Job.objects.open().filter(expires_at__lte=self.now).values_list("pk", flat=True):
            progress.expire_job(pk, self.now)
        holds.expire_due(now=self.now)

    @invariant()
    def nothing_is_lost_or_paid_twice(self) -> None:
        audit()
        everybody = [*self.people, *(machine.node.operator.user for machine in self.nodes)]
        wallets = sum(accounts.balance(person) + accounts.held(person) for person in everybody)
        system = sum(accounts.system(kind).balance for kind in ("burn", "treasury"))
        assert wallets + system == 4 * MESH


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        PoolMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_nothing_is_lost_or_paid_twice_whatever_happens(db: None) -> None:
    run(examples=12, steps=25)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_nothing_is_lost_or_paid_twice_for_long(db: None) -> None:
    run(examples=100, steps=60)
