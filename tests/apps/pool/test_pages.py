"""Pages of jobs: submitting, watching, cancelling, results; and only one's own."""

import io

import numpy as np
import pytest
from django.test import Client

from apps.core.models import User
from apps.pool import submission
from apps.pool.models import Job, TaskStatus
from tests.apps.pool.cast import NOW, Machine, embed, requester

FORM = {
    "kind": "embed",
    "texts": "one text\nanother text\n\na third",
    "chunk_size": "2",
    "prompt": "",
    "chunk_strategy": "none",
    "max_chunk_size": "2000",
    "idempotency_key": "k1",
}


@pytest.fixture
def site(client: Client, rita: User, ada: Machine) -> Client:
    client.force_login(rita)
    return client


def form(job: submission.JobRequest | None = None, **changes: str) -> dict[str, str]:
    return {**FORM, "model": embed("a").model, **changes}


@pytest.mark.parametrize("page", ["/jobs", "/jobs/live", "/jobs/new", "/jobs/job_x", "/jobs/job_x/live"])
def test_visitors_are_sent_to_the_login(client: Client, page: str, db: None) -> None:
    assert client.get(page)["Location"].startswith("/accounts/login/")


def test_the_list_says_what_is_missing_and_filters_by_status(site: Client, rita: User) -> None:
    assert b"No jobs yet" in site.get("/jobs").content
    job = submission.submit(rita, embed("a"), NOW)
    assert job.pk.encode() in site.get("/jobs").content
    assert job.pk.encode() in site.get("/jobs?status=PENDING").content
    assert b"No job matches" in site.get("/jobs?status=FAILED").content
    assert job.pk.encode() in site.get("/jobs?status=nonsense").content


def test_a_quote_shows_the_price_and_holds_nothing(site: Client) -> None:
    page = site.post("/jobs/quote", form())
    assert page.context["quote"].tasks == 2
    assert b"MESH" in page.content
    assert not Job.objects.requests().exists()
    assert b"at least one text" in site.post("/jobs/quote", form(texts="")).content


def test_a_job_is_submitted_once_however_often_the_button_is_pressed(site: Client, rita: User) -> None:
    first, second = site.post("/jobs/new", form()), site.post("/jobs/new", form())
    job = Job.objects.requests().get()
    assert first["Location"] == second["Location"] == f"/jobs/{job.pk}"
    assert (job.requester, job.tasks_total) == (rita, 2)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"texts": ""}, "texts"),
        ({"texts": '["a", 1]'}, "texts"),
        ({"chunk_size": "0"}, "chunk_size"),
        ({"model": "unheard-of"}, "model"),
        ({"kind": "generate", "prompt": " "}, "prompt"),
    ],
)
def test_a_refused_job_names_the_field(site: Client, changes: dict[str, str], field: str) -> None:
    page = site.post("/jobs/new", form(**changes))
    assert field in page.context["form"].errors
    assert not Job.objects.requests().exists()


def test_a_job_that_cannot_be_paid_is_refused_above_the_form(client: Client, ada: Machine) -> None:
    client.force_login(User.objects.create_user("poor@example.org"))
    page = client.post("/jobs/new", form())
    assert b"does not hold that much" in page.content
    assert not Job.objects.requests().exists()


def test_a_jobs_page_follows_it_from_queue_to_result(site: Client, rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("a", "b"), NOW)
    page = site.get(f"/jobs/{job.pk}")
    assert [stage.state for stage in page.context["stages"]] == ["done", "now", "todo", "todo", "todo"]
    ada.work()
    page = site.get(f"/jobs/{job.pk}")
    assert Job.objects.get(pk=job.pk).status == TaskStatus.COMPLETED
    assert [stage.state for stage in page.context["stages"]][:4] == ["done"] * 4
    assert page.context["money"]["paid"] == job.price
    assert b"Download" in page.content
    vectors = np.load(io.BytesIO(site.get(f"/jobs/{job.pk}/result").content))
    assert len(vectors) == 2


def test_a_job_of_another_requester_does_not_exist(client: Client, rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("a"), NOW)
    client.force_login(requester("sam"))
    for path in ("", "/live", "/result", "/receipt.json"):
        assert client.get(f"/jobs/{job.pk}{path}").status_code == 404
    assert client.post(f"/jobs/{job.pk}/cancel").status_code == 404
    assert Job.objects.get(pk=job.pk).status == TaskStatus.PENDING


def test_cancelling_gives_the_money_back(site: Client, rita: User) -> None:
    job = submission.submit(rita, embed("a"), NOW)
    assert site.post(f"/jobs/{job.pk}/cancel").status_code == 302
    page = site.get(f"/jobs/{job.pk}")
    assert Job.objects.get(pk=job.pk).status == TaskStatus.CANCELLED
    assert (page.context["money"]["held"], page.context["money"]["back"]) == (0, job.price)


def test_a_page_costs_the_same_however_many_chunks_it_shows(
    site: Client, rita: User, django_assert_max_num_queries
) -> None:
    job = submission.submit(rita, embed(*[f"text {n}" for n in range(60)]), NOW)
    with django_assert_max_num_queries(14):
        site.get(f"/jobs/{job.pk}")
