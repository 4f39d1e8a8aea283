"""Jobs from submission to their joined result: what the sources' orchestrator promises, and what the pool adds."""

import numpy as np
import pytest

from apps.core import parameters
from apps.core.models import User
from apps.ledger import accounts
from apps.ledger.errors import InsufficientFunds
from apps.models.errors import ModelUnknown
from apps.models.models import ModelVersion
from apps.pool import cancel, completion, kinds, progress, results, submission
from apps.pool.errors import (
    IdempotencyKeyReused,
    InputRefused,
    JobIncomplete,
    JobNotFinished,
    JobNotFound,
    KindUnknown,
    NoNodeFits,
    NotAssigned,
    PriceAboveLimit,
    QueueFull,
    ResultRefused,
    TooManyJobs,
)
from apps.pool.models import Attempt, Job, Refusal, Result, Task
from tests.apps.pool.cast import (
    MESH,
    NOW,
    Machine,
    embed,
    frame,
    generate,
    later,
    machine,
    requester,
    user,
    vector,
)
from workers.protocol import canonical
from workers.protocol.frames import MAGIC

pytestmark = pytest.mark.django_db
PROMPT = "one two three\n\nfour five six\n\nseven eight"


def set_parameter(name: str, value: int) -> None:
    parameters.set_parameter(name, value, actor=None, reason="test", now=NOW)
    parameters.forget_cached()


def test_a_short_prompt_is_a_job_of_one_chunk(rita: User, writer: ModelVersion) -> None:
    machine("wanda")
    assert submission.submit(rita, generate("short"), NOW).tasks_total == 1


def test_a_long_prompt_is_split_and_its_answers_joined_in_order(rita: User, writer: ModelVersion) -> None:
    first, second = machine("wanda"), machine("will")
    job = submission.submit(rita, generate(PROMPT, chunk_strategy="split-by-paragraph", max_chunk_size=14), NOW)
    assert job.tasks_total == 3
    taken = [*first.take(2), *second.take(2)]
    for task, node in reversed(list(zip(taken, (first, first, second), strict=True))):
        node.answer(task)
    job.refresh_from_db()
    assert results.text(job) == "ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT"


def test_every_chunk_knows_its_job_and_its_place(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed(*"abcde"), NOW)
    assert [(t.job_id, t.index, t.items) for t in job.tasks.order_by("index")] == [
        (job.pk, 0, 2),
        (job.pk, 1, 2),
        (job.pk, 2, 1),
    ]


def test_vectors_are_joined_as_float32_in_the_inputs_order(rita: User, ada: Machine) -> None:
    texts = [f"text {i}" for i in range(7)]
    job = submission.submit(rita, embed(*texts), NOW)
    ada.work()
    job.refresh_from_db()
    vectors = results.vectors(job)
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors, np.array([vector(text) for text in texts], np.float32))


def test_a_job_fails_if_a_chunk_fails_and_delivered_chunks_are_paid(rita: User, ada: Machine, bert: Machine) -> None:
    job = submission.submit(rita, embed(*"abc", chunk_size=1), NOW)
    set_parameter("pool.max_attempts", 1)
    good, bad = ada.take(2)
    assert ada.answer(good) == "completed"
    assert ada.report(bad) == "failed"
    job.refresh_from_db()
    assert (job.status, job.tasks_done, job.tasks_failed, job.tasks_cancelled) == ("FAILED", 1, 1, 1)
    assert "It broke." in job.reason
    assert accounts.balance(rita) == 1000 * MESH - job.price_per_chunk
    assert results.answers([]) == []
    rows = results.sparse_vectors(results.parts(job))
    assert rows[1:] == [None, None]
    assert rows[0] == pytest.approx(vector("a"))
    with pytest.raises(JobIncomplete, match="FAILED"):
        results.vectors(job)


def test_a_result_is_asked_for_too_early(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("a"), NOW)
    with pytest.raises(JobNotFinished, match="1 of 1 chunks"):
        results.parts(job)


@pytest.mark.parametrize(
    ("counts", "begun", "status"),
    [
        ((3, 0, 0, 0), False, "PENDING"),
        ((3, 0, 0, 0), True, "RUNNING"),
        ((3, 1, 0, 0), True, "RUNNING"),
        ((3, 3, 0, 0), True, "COMPLETED"),
        ((3, 2, 1, 0), True, "FAILED"),
        ((3, 0, 1, 2), True, "FAILED"),
        ((3, 1, 0, 2), True, "CANCELLED"),
    ],
)
def test_a_jobs_state_follows_from_its_chunks(counts: tuple[int, int, int, int], begun: bool, status: str) -> None:
    assert progress.derive(*counts, begun=begun) == status


def test_all_pending_chunks_are_cancelled(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed(*"abcde", chunk_size=1), NOW)
    assert cancel.cancel(job.pk, rita, later(1)) == 5
    assert set(job.tasks.values_list("status", flat=True)) == {"CANCELLED"}
    assert ada.take() == []


def test_somebody_elses_job_is_not_there(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("a"), NOW)
    with pytest.raises(JobNotFound):
        cancel.cancel(job.pk, user("mallory"), NOW)
    job.refresh_from_db()
    assert job.status == "PENDING"


def test_an_administrator_may_cancel_a_job(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("a"), NOW)
    cancel.cancel(job.pk, user("admin", is_staff=True), NOW)
    job.refresh_from_db()
    assert job.reason == "Cancelled by an administrator."


def test_a_job_past_its_time_fails_and_is_paid_back(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("a", "b", chunk_size=1), NOW)
    [running] = ada.take()
    ada.start(running)
    assert not progress.expire_job(job.pk, later(86_399))
    assert progress.expire_job(job.pk, later(86_400))
    assert not progress.expire_job(job.pk, later(86_401))
    job.refresh_from_db()
    assert (job.status, job.tasks_failed, job.closed_at) == ("FAILED", 1, None)
    assert ada.answer(running) == "completed"
    job.refresh_from_db()
    assert job.closed_at is not None
    assert accounts.balance(rita) == 1000 * MESH - job.price_per_chunk


def test_a_failing_chunk_of_an_ended_job_is_not_tried_again(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("a", "b", chunk_size=1), NOW)
    [running] = ada.take()
    ada.start(running)
    cancel.cancel(job.pk, rita, later(1))
    assert ada.report(running) == "failed"
    job.refresh_from_db()
    assert (job.status, job.tasks_cancelled, job.tasks_live) == ("CANCELLED", 2, 0)
    assert accounts.balance(rita) == 1000 * MESH


# Submission


def test_a_quote_holds_nothing(rita: User, ada: Machine) -> None:
    quote = submission.quote(embed(*"abc", chunk_size=1), NOW)
    assert (quote.tasks, quote.price_per_chunk, quote.price) == (3, 5 * MESH // 100, 15 * MESH // 100)
    assert quote.feasibility.sentence() == "1 node: 1 can take it now"
    assert accounts.held(rita) == 0
    assert Job.objects.count() == 0


def test_no_node_fits_and_nothing_is_held(rita: User, embedder: ModelVersion) -> None:
    machine("other", served_models=["another"])
    with pytest.raises(NoNodeFits, match="1 node: 1 lacks the model"):
        submission.submit(rita, embed("a"), NOW)
    assert accounts.held(rita) == 0
    assert Refusal.objects.get().code == "no_node_fits"


def test_refusals_of_a_day_are_counted(rita: User, embedder: ModelVersion) -> None:
    for _ in range(3):
        with pytest.raises(NoNodeFits):
            submission.submit(rita, embed("a"), NOW)
    assert Refusal.objects.get().count == 3


def test_a_job_that_cannot_be_paid_leaves_nothing(ada: Machine) -> None:
    poor = requester("poor", units=1)
    with pytest.raises(InsufficientFunds):
        submission.submit(poor, embed("a"), NOW)
    assert (Job.objects.count(), Task.objects.count(), accounts.balance(poor)) == (0, 0, 1)
    assert Refusal.objects.get().code == "insufficient_funds"


def test_the_same_key_submits_once(rita: User, ada: Machine) -> None:
    first = submission.submit(rita, embed("a"), NOW, idempotency_key="k1")
    assert submission.submit(rita, embed("a"), later(5), idempotency_key="k1") == first
    assert Job.objects.count() == 1
    assert accounts.held(rita) == first.price


def test_the_same_key_for_another_request_is_refused(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW, idempotency_key="k1")
    with pytest.raises(IdempotencyKeyReused):
        submission.submit(rita, embed("b"), NOW, idempotency_key="k1")


def test_two_people_may_use_the_same_key(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW, idempotency_key="k1")
    submission.submit(requester("sam"), embed("b"), NOW, idempotency_key="k1")
    assert Job.objects.count() == 2


def test_submissions_of_a_minute_are_limited(rita: User, ada: Machine) -> None:
    set_parameter("pool.jobs_per_minute", 2)
    for _ in range(2):
        submission.submit(rita, embed("a"), NOW)
    with pytest.raises(TooManyJobs, match="2 jobs in a minute") as refused:
        submission.submit(rita, embed("a"), NOW)
    assert refused.value.retry_after == 60
    submission.submit(requester("sam"), embed("a"), NOW)
    submission.submit(rita, embed("a"), later(60))


def test_submissions_of_an_hour_are_limited(rita: User, ada: Machine) -> None:
    set_parameter("pool.jobs_per_hour", 1)
    submission.submit(rita, embed("a"), NOW)
    with pytest.raises(TooManyJobs, match="1 jobs in an hour"):
        submission.submit(rita, embed("a"), later(120))


def test_a_full_queue_takes_no_more(rita: User, ada: Machine) -> None:
    set_parameter("pool.queue_limit", 2)
    with pytest.raises(QueueFull, match="0 tasks wait, 3 more"):
        submission.submit(rita, embed(*"abc", chunk_size=1), NOW)
    submission.submit(rita, embed(*"ab", chunk_size=1), NOW)


def test_a_job_of_too_many_chunks_is_refused(rita: User, ada: Machine) -> None:
    set_parameter("pool.max_tasks", 2)
    with pytest.raises(InputRefused, match="at most 2 chunks"):
        submission.submit(rita, embed(*"abc", chunk_size=1), NOW)
    submission.submit(rita, embed(*"abc", chunk_size=2), NOW)


def test_a_prompt_of_too_many_chunks_is_refused_before_it_is_cut_to_its_end(rita: User, writer: ModelVersion) -> None:
    machine("wanda")
    set_parameter("pool.max_tasks", 2)
    asked = generate("word " * 500, chunk_strategy="split-by-size", max_chunk_size=4)
    with pytest.raises(InputRefused, match="at most 2 chunks") as refused:
        submission.quote(asked, NOW)
    assert refused.value.errors[0]["pointer"] == "/chunk_size"
    assert len(kinds.get("generate").split(asked)) == 3


def test_a_job_dearer_than_the_callers_limit_is_refused(rita: User, ada: Machine) -> None:
    with pytest.raises(PriceAboveLimit, match=r"costs 0\.05 MESH"):
        submission.submit(rita, embed("a", max_price=MESH // 100), NOW)
    submission.submit(rita, embed("a", max_price=MESH), NOW)


def test_what_does_not_exist_is_refused(rita: User, ada: Machine, writer: ModelVersion) -> None:
    with pytest.raises(ModelUnknown):
        submission.submit(rita, kinds.JobRequest("embed", "no-such-model", inputs=("a",)), NOW)
    with pytest.raises(InputRefused):
        submission.quote(kinds.JobRequest("embed", "no\x00model", inputs=("a",)), NOW)
    with pytest.raises(KindUnknown):
        submission.submit(rita, kinds.JobRequest("paint", "x"), NOW)
    with pytest.raises(InputRefused, match="does not do embed jobs"):
        submission.submit(rita, kinds.JobRequest("embed", "little-writer", inputs=("a",)), NOW)


# Results that are no results


@pytest.mark.parametrize(
    ("plain", "changes", "detail"),
    [
        (b"junk", {}, "frame"),
        (frame(["a"]), {}, "2 vectors of 4"),
        (frame(["a", "b"]), {"result_sha256": "00" * 32}, "not the one that the node signed"),
        (frame(["a", "b"]), {"usage": {"items": 5, "tokens_in": 1, "tokens_out": 0}}, "2 items"),
    ],
)
def test_a_signed_answer_that_is_no_result_fails_the_attempt(
    rita: User, ada: Machine, plain: bytes, changes: dict[str, object], detail: str
) -> None:
    submission.submit(rita, embed("a", "b"), NOW)
    [taken] = ada.take()
    envelope, sealed = ada.signed(taken, plain, **changes)
    assert completion.complete(envelope, sealed, ada.node, NOW) == "failed"
    attempt = Attempt.objects.get()
    assert (attempt.status, attempt.code) == ("failed", "result_invalid")
    assert detail in attempt.detail
    assert Task.objects.get().status == "PENDING"
    assert accounts.balance(ada.node.operator.user) == 0


def test_a_malformed_frame_with_a_nul_in_a_name_fails_the_attempt(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    [taken] = ada.take()
    head = canonical.dumps({"header": {}, "arrays": [], "\x00odd": 1})
    envelope, sealed = ada.signed(taken, MAGIC + len(head).to_bytes(4, "big") + head)
    assert completion.complete(envelope, sealed, ada.node, NOW) == "failed"
    assert "odd" in Attempt.objects.get().detail


@pytest.mark.parametrize("plain", [rb'{"response": "\ud800"}', b"[" * 100_000])
def test_an_answer_that_could_not_be_sent_on_fails_the_attempt(rita: User, writer: ModelVersion, plain: bytes) -> None:
    wanda = machine("wanda")
    submission.submit(rita, generate("short"), NOW)
    [taken] = wanda.take()
    envelope, sealed = wanda.signed(taken, plain)
    assert completion.complete(envelope, sealed, wanda.node, NOW) == "failed"
    assert Attempt.objects.get().code == "result_invalid"
    assert not Result.objects.exists()


def test_a_result_sealed_for_another_attempt_fails_the_attempt(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a", "b", chunk_size=1), NOW)
    one, other = ada.take(2)
    _, sealed = ada.signed(other, ada.compute(other))
    from hashlib import sha256

    envelope, _ = ada.signed(one, ada.compute(one), sealed_sha256=sha256(sealed).hexdigest())
    assert completion.complete(envelope, sealed, ada.node, NOW) == "failed"
    assert Attempt.objects.get(task=one.task_id).detail == "The result cannot be opened."


def unchanged() -> tuple[object, ...]:
    return (
        list(Task.objects.values_list("pk", "status", "attempt", "failures")),
        list(Attempt.objects.values_list("pk", "status")),
        Result.objects.count(),
    )


def test_sealed_bytes_altered_on_the_way_are_refused_and_nothing_changes(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    [taken] = ada.take()
    envelope, sealed = ada.signed(taken, ada.compute(taken))
    before = unchanged()
    with pytest.raises(ResultRefused, match="sealed bytes"):
        completion.complete(envelope, sealed + b"x", ada.node, NOW)
    assert unchanged() == before


def test_a_result_of_another_nodes_task_is_refused(rita: User, ada: Machine, bert: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    [taken] = ada.take()
    envelope, sealed = bert.signed(taken, frame(["a"]))
    before = unchanged()
    with pytest.raises(NotAssigned):
        completion.complete(envelope, sealed, bert.node, NOW)
    with pytest.raises(ResultRefused):
        completion.complete(envelope, sealed, ada.node, NOW)
    assert unchanged() == before


def test_a_result_for_another_job_or_attempt_is_refused(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    [taken] = ada.take()
    plain = ada.compute(taken)
    before = unchanged()
    for changes, error in (({"job": "job_other"}, ResultRefused), ({"attempt": 2}, NotAssigned)):
        envelope, sealed = ada.signed(taken, plain, **changes)
        with pytest.raises(error):
            completion.complete(envelope, sealed, ada.node, NOW)
    assert unchanged() == before


def test_an_error_of_the_node_is_told_in_the_attempt(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), NOW)
    [taken] = ada.take()
    assert ada.report(taken) == "failed"
    assert ada.report(taken) == "superseded"
    attempt = Attempt.objects.get()
    assert (attempt.code, attempt.detail, attempt.counted) == ("engine_failed", "It broke.", True)
