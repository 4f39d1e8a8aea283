"""The jobs API over HTTP."""

import io
import json
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.core.models import User
from apps.operators.authentication import make_key
from apps.pool.models import Job
from tests.apps.pool.cast import EMBEDDER, NOW, Machine, requester, user, vector

pytestmark = pytest.mark.django_db
ASKED = {"kind": "embed", "model": EMBEDDER, "inputs": ["a", "b", "c"], "chunk_size": 2}


def bearer(person: User, *scopes: str) -> Client:
    _, text = make_key(person, "test", list(scopes or ("jobs:read", "jobs:write")), NOW)
    return Client(headers={"Authorization": f"Bearer {text}"})


@pytest.fixture
def api(rita: User) -> Client:
    return bearer(rita)


def post(client: Client, path: str, body: Any = None, **headers: str) -> Any:
    return client.post(path, json.dumps(body or {}), content_type="application/json", headers=headers)


def test_a_job_is_accepted_with_its_address(api: Client, ada: Machine) -> None:
    answer = post(api, "/api/v1/jobs", ASKED)
    assert answer.status_code == 202
    body = answer.json()
    assert answer["Location"] == body["status_url"] == f"http://testserver/api/v1/jobs/{body['id']}"
    assert (body["status"], body["tasks_total"], body["price"], body["encrypted"]) == ("PENDING", 2, "0.1", True)
    assert (body["reason"], body["next_step"]) == ("It waits for a free node.", "Nothing: it begins by itself.")


def test_the_same_idempotency_key_is_the_same_job(api: Client, ada: Machine) -> None:
    first = post(api, "/api/v1/jobs", ASKED, **{"Idempotency-Key": "one"})
    again = post(api, "/api/v1/jobs", ASKED, **{"Idempotency-Key": "one"})
    other = post(api, "/api/v1/jobs", {**ASKED, "inputs": ["z"]}, **{"Idempotency-Key": "one"})
    assert first.json()["id"] == again.json()["id"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert Job.objects.count() == 1


def test_a_job_is_followed_to_its_result(api: Client, ada: Machine) -> None:
    job = post(api, "/api/v1/jobs", ASKED).json()
    early = api.get(f"/api/v1/jobs/{job['id']}/result")
    assert (early.status_code, early.json()["code"]) == (409, "job_not_finished")
    ada.work()
    done = api.get(f"/api/v1/jobs/{job['id']}").json()
    assert (done["status"], done["tasks_done"], done["reason"]) == ("COMPLETED", 2, "")
    result = api.get(f"/api/v1/jobs/{job['id']}/result").json()
    assert (result["count"], result["dimensions"], result["complete"]) == (3, 4, True)
    assert np.array_equal(np.array(result["vectors"], np.float32), np.array([vector(t) for t in "abc"], np.float32))
    assert [chunk["index"] for chunk in result["chunks"]] == [0, 1]


def test_vectors_come_as_npy(api: Client, ada: Machine) -> None:
    job = post(api, "/api/v1/jobs", ASKED).json()
    path = f"/api/v1/jobs/{job['id']}/result?format=npy"
    early = api.get(path)
    assert (early.status_code, json.loads(early.content)["code"]) == (409, "job_not_finished")
    ada.work()
    answer = api.get(path)
    assert answer["Content-Type"] == "application/octet-stream"
    assert np.load(io.BytesIO(answer.content)).shape == (3, 4)


def test_chunks_are_listed_in_order(api: Client, ada: Machine) -> None:
    job = post(api, "/api/v1/jobs", ASKED).json()
    ada.work()
    chunks = api.get(f"/api/v1/jobs/{job['id']}/tasks").json()["results"]
    assert [(c["index"], c["status"], c["items"], c["node_name"], c["error"]) for c in chunks] == [
        (0, "COMPLETED", 2, "ada", None),
        (1, "COMPLETED", 1, "ada", None),
    ]


def test_a_job_is_cancelled(api: Client, ada: Machine) -> None:
    job = post(api, "/api/v1/jobs", ASKED).json()
    answer = post(api, f"/api/v1/jobs/{job['id']}/cancel").json()
    assert (answer["status"], answer["tasks_cancelled"]) == ("CANCELLED", 2)
    result = api.get(f"/api/v1/jobs/{job['id']}/result").json()
    assert (result["complete"], result["vectors"]) == (False, [None, None, None])


def test_a_quote_says_price_and_feasibility(api: Client, ada: Machine) -> None:
    quote = post(api, "/api/v1/jobs/quote", ASKED).json()
    assert (quote["price"], quote["price_per_chunk"], quote["tasks"]) == ("0.1", "0.05", 2)
    assert (quote["feasible"], quote["nodes_fit"], quote["summary"]) == (True, 1, "1 node: 1 can take it now")


def test_a_receipt_is_pending_at_first(api: Client, ada: Machine) -> None:
    job = post(api, "/api/v1/jobs", ASKED).json()
    answer = api.get(f"/api/v1/jobs/{job['id']}/receipt")
    assert (answer.status_code, answer.json()["code"]) == (409, "receipt_pending")


@pytest.mark.parametrize("path", ["", "/tasks", "/result", "/receipt"])
def test_another_requesters_job_is_not_found(api: Client, ada: Machine, path: str) -> None:
    job = post(api, "/api/v1/jobs", ASKED).json()
    answer = bearer(user("mallory")).get(f"/api/v1/jobs/{job['id']}{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


def test_another_requesters_job_is_not_cancelled_or_listed(api: Client, ada: Machine) -> None:
    job = post(api, "/api/v1/jobs", ASKED).json()
    mallory = bearer(user("mallory"))
    assert post(mallory, f"/api/v1/jobs/{job['id']}/cancel").status_code == 404
    assert mallory.get("/api/v1/jobs").json()["results"] == []
    assert Job.objects.get().status == "PENDING"


def test_a_visitor_is_asked_to_log_in(ada: Machine) -> None:
    for answer in (Client().get("/api/v1/jobs"), post(Client(), "/api/v1/jobs", ASKED)):
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_key_that_may_only_read_does_not_submit(rita: User, ada: Machine) -> None:
    reader = bearer(rita, "jobs:read")
    assert reader.get("/api/v1/jobs").status_code == 200
    assert post(reader, "/api/v1/jobs", ASKED).status_code == 403


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"inputs": "a"}, "/inputs"),
        ({"inputs": [1]}, "/inputs"),
        ({"inputs": [""]}, "/inputs/0"),
        ({"chunk_size": 0}, "/chunk_size"),
        ({"priority": 0}, "/priority"),
        ({"priority": "high"}, "/priority"),
        ({"encrypt": False}, "/encrypt"),
        ({"max_price": "1e3"}, "/max_price"),
        ({"chunk_strategy": "by-moon"}, "/chunk_strategy"),
        ({"promt": "x"}, "/promt"),
    ],
)
def test_a_faulty_field_is_named(api: Client, ada: Machine, changes: dict[str, Any], pointer: str) -> None:
    answer = post(api, "/api/v1/jobs", {**ASKED, **changes})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert Job.objects.count() == 0


@pytest.mark.parametrize("body", [[], "x", None, {"kind": "embed"}, {**ASKED, "kind": "paint"}])
def test_a_body_that_is_no_job_is_refused(api: Client, ada: Machine, body: Any) -> None:
    answer = api.post("/api/v1/jobs", json.dumps(body), content_type="application/json")
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"


def test_a_body_that_is_too_large_is_refused(api: Client, ada: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.pool.api.LARGEST_BODY", 50)
    answer = post(api, "/api/v1/jobs", ASKED)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("key", ["", "x" * 129])
def test_a_faulty_idempotency_key_is_refused(api: Client, ada: Machine, key: str) -> None:
    assert post(api, "/api/v1/jobs", ASKED, **{"Idempotency-Key": key}).status_code == 422


def test_refusals_have_codes_and_statuses(ada: Machine) -> None:
    poor = bearer(requester("poor", units=1))
    answer = post(poor, "/api/v1/jobs", ASKED)
    assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_funds")
    ada.node.move("draining", "It drains.", "", NOW)
    answer = post(poor, "/api/v1/jobs", ASKED)
    assert (answer.status_code, answer.json()["code"]) == (409, "no_node_fits")
    assert answer.json()["detail"] == "1 node: 1 is not online"


def test_too_many_jobs_say_when_to_come_back(api: Client, ada: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    # The clock stands still, so that no new minute begins between two submissions.
    monkeypatch.setattr("apps.pool.api.utcnow", lambda: NOW)
    answers = [post(api, "/api/v1/jobs", ASKED) for _ in range(11)]
    assert [a.status_code for a in answers] == [202] * 10 + [429]
    assert answers[-1]["Retry-After"] == "60"


def test_listing_takes_as_many_queries_for_many_jobs_as_for_one(api: Client, ada: Machine) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert api.get("/api/v1/jobs").status_code == 200
        return len(captured)

    post(api, "/api/v1/jobs", ASKED)
    queries()
    one = queries()
    for _ in range(5):
        post(api, "/api/v1/jobs", ASKED)
    assert queries() == one


def test_pages_of_jobs_follow_each_other(api: Client, ada: Machine) -> None:
    made = [post(api, "/api/v1/jobs", ASKED).json()["id"] for _ in range(3)]
    page = api.get("/api/v1/jobs?limit=2").json()
    rest = api.get(page["next"]).json()
    assert [job["id"] for job in page["results"] + rest["results"]] == made[::-1]
