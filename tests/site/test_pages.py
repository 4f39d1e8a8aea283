"""The network's own pages: what they count, what they hide, and what they say when there is nothing."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.core.models import User
from apps.operators.models import Node, NodeStatus, Operator
from apps.pool.models import Job, Purpose, RequirementClass, Result, Task, TaskStatus
from meshwork import figures
from workers.protocol.clock import utcnow

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return User.objects.create_user(email="ada@example.org", password="x", name="Ada")


@pytest.fixture
def operator(ada: User) -> Operator:
    return Operator.objects.create(id="op_ada", user=ada, tier="ORACLE", region="eu-central", approved_at=utcnow())


def a_node(operator: Operator, name: str, status: str = NodeStatus.ONLINE, **fields: Any) -> Node:
    keys = {"sign_public": f"s-{name}", "seal_public": f"e-{name}", "kid": name[:16]}
    fields.setdefault("reason", "" if status == NodeStatus.ONLINE else "No heartbeat for 120 s.")
    now = utcnow()
    return Node.objects.create(
        id=f"node_{name}", operator=operator, name=name, status=status, status_at=now, enrolled_at=now, **keys, **fields
    )


def a_job(user: User | None, **fields: Any) -> Job:
    identity = uuid.uuid4().hex[:26]
    paid: dict[str, Any] = {"price": 10, "price_per_chunk": 10, "hold_id": uuid.uuid4(), "requester": user}
    if user is None:
        paid = {"purpose": Purpose.SELF_TEST}
    now = utcnow()
    return Job.objects.create(
        id=f"job_{identity}",
        kind="embed",
        model="all-MiniLM-L6-v2",
        version="mdv_1",
        created_at=now,
        expires_at=now + timedelta(hours=1),
        **({"tasks_total": 1} | paid | fields),
    )


def a_result(job: Job, node: Node, items: int, at: datetime) -> Result:
    needs, _ = RequirementClass.objects.get_or_create(
        digest="d",
        defaults={
            "kind": "embed",
            "model": job.model,
            "version": "mdv_1",
            "lanes": ["inference.cpu"],
            "created_at": at,
        },
    )
    task = Task.objects.create(
        id=job.pk.replace("job", "tsk"),
        job=job,
        index=0,
        requires=needs,
        status=TaskStatus.COMPLETED,
        order_key=1,
        items=items,
        work_s=1,
        node=node,
        created_at=at,
        completed_at=at,
    )
    return Result.objects.create(
        task=task,
        attempt=1,
        node=node,
        node_public="k",
        model=job.model,
        ciphertext=b"",
        sha256="0" * 64,
        envelope={},
        items=items,
        validation="self-consistent",
        completed_at=at,
    )


def shown(now: datetime) -> dict[str, figures.Figure]:
    return {figure.label: figure for figure in figures.totals(now)}


def test_a_visitor_reads_what_the_network_is_and_is_offered_a_wallet_first(client: Client) -> None:
    page = client.get("/")
    text = page.content.decode()
    assert page.status_code == 200
    assert text.count("Make a wallet and start") == 1
    assert text.count("btn-primary") == 1
    assert text.index("Make a wallet and start") < text.index('href="/accounts/signup/?next=/apply"')
    assert "TESTNET" in text
    assert "MESH here has no value" in text


def test_somebody_signed_in_joins_by_applying(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert 'href="/apply"' in client.get("/").content.decode()


def test_pages_are_served_under_the_strict_policy(client: Client) -> None:
    policy = client.get("/overview")["Content-Security-Policy"]
    assert "script-src 'self';" in f"{policy};"
    assert "style-src 'self';" in f"{policy};"
    assert "unsafe" not in policy


def test_an_empty_network_says_so_and_draws_no_chart(client: Client) -> None:
    text = client.get("/overview").content.decode()
    assert "No nodes yet" in text
    assert "No job is running" in text
    assert "No inference in this time span" in text
    assert "data-chart" not in text


def test_totals_count_nodes_online_and_add_up_what_they_measured(operator: Operator) -> None:
    a_node(operator, "fra-1", probe={"gflops": 120})
    a_node(operator, "fra-2", probe={"gflops": 400})
    a_node(operator, "fra-3", NodeStatus.OFFLINE, probe={"gflops": 9000})
    a_node(operator, "fra-4", NodeStatus.REVOKED, reason="Key lost.")
    now = shown(utcnow())
    assert (now["Nodes online"].value, now["Nodes online"].unit, now["Nodes online"].hint) == ("2", "of 3", "1 is not")
    assert now["TFLOPS"].value == "0.52"


def test_inferences_are_those_of_requesters_not_of_self_tests(operator: Operator, ada: User) -> None:
    node, now = a_node(operator, "fra-1"), utcnow()
    a_result(a_job(ada), node, 1200, now - timedelta(days=3))
    a_result(a_job(ada), node, 34, now)
    a_result(a_job(None), node, 5000, now)
    assert shown(now)["Inferences"] == figures.Figure("Inferences", "1,234", "", "+34 in 24 h")


def test_job_success_is_the_share_of_jobs_that_ended(ada: User) -> None:
    a_job(ada, status=TaskStatus.COMPLETED, finished_at=utcnow())
    a_job(ada, status=TaskStatus.COMPLETED, finished_at=utcnow() - timedelta(days=2))
    a_job(ada, status=TaskStatus.COMPLETED, finished_at=utcnow() - timedelta(days=2))
    a_job(ada, status=TaskStatus.FAILED)
    a_job(ada, status=TaskStatus.CANCELLED)
    a_job(ada)
    figure = shown(utcnow())["Jobs completed"]
    assert (figure.value, figure.hint) == ("3", "75.0 % success · +1 in 24 h")


def test_the_chart_holds_every_step_of_its_span(operator: Operator, ada: User) -> None:
    node, now = a_node(operator, "fra-1"), datetime(2026, 11, 21, 12, 30, 30, tzinfo=UTC)
    a_result(a_job(ada), node, 10, now - timedelta(minutes=5))
    a_result(a_job(ada), node, 7, now - timedelta(minutes=5, seconds=10))
    a_result(a_job(ada), node, 99, now - timedelta(hours=2))
    hour = figures.throughput(figures.span_named("1h"), now)
    assert hour is not None
    assert len(hour["x"]) == len(hour["series"][0]["values"]) == 61
    assert dict(zip(hour["x"], hour["series"][0]["values"], strict=True))[int(now.timestamp()) // 60 * 60 - 300] == 17
    assert sum(hour["series"][0]["values"]) == 17
    day = figures.throughput(figures.span_named("24h"), now)
    assert day is not None
    assert sum(day["series"][0]["values"]) == 116


def test_filters_stand_in_the_url_and_no_match_differs_from_none_yet(client: Client, operator: Operator) -> None:
    a_node(operator, "fra-1")
    a_node(operator, "fra-2", NodeStatus.OFFLINE)
    offline = client.get("/overview?status=offline").content.decode()
    assert "fra-2" in offline
    assert "fra-1" not in offline
    assert "No heartbeat for 120 s." in offline
    assert '<option value="offline" selected>' in offline
    assert "No node matches" in client.get("/overview?tier=GUARDIAN").content.decode()
    assert "fra-1" in client.get("/overview?status=nonsense").content.decode()


def test_a_job_is_a_link_for_its_requester_alone(client: Client, ada: User) -> None:
    job = a_job(ada, tasks_total=8, tasks_done=3, price=80)
    assert f"/jobs/{job.pk}" not in client.get("/overview").content.decode()
    client.force_login(ada)
    text = client.get("/overview").content.decode()
    assert f"/jobs/{job.pk}" in text
    assert "3/8" in text


def test_the_overview_costs_the_same_queries_however_many_nodes(
    client: Client, operator: Operator, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(40):
        a_node(operator, f"fra-{number}")
    with django_assert_max_num_queries(10):
        text = client.get("/overview?page=2").content.decode()
    assert "of 40" in text


def test_live_fragments_have_no_frame(client: Client) -> None:
    for address in ("/totals", "/overview/live"):
        assert "<html" not in client.get(address).content.decode()


def test_search_leads_from_a_task_to_its_job(client: Client, ada: User, operator: Operator) -> None:
    job = a_job(ada, status=TaskStatus.COMPLETED, finished_at=utcnow())
    task = a_result(job, a_node(operator, "a"), 1, utcnow()).task_id
    assert client.get(f"/search?q={task}")["Location"] == f"/jobs/{job.pk}"
    assert "Nothing has the id" in client.get("/search?q=tsk_01ja0").content.decode()


def test_search_leads_to_what_has_the_id_and_says_when_nothing_can(client: Client) -> None:
    assert client.get("/search?q=+job_01ja0+")["Location"] == "/jobs/job_01ja0"
    assert client.get("/search?q=node_01ja0")["Location"] == "/nodes/node_01ja0"
    nothing = client.get("/search?q=%3Cb%3Ehello").content.decode()
    assert "Nothing has the id" in nothing
    assert "<b>hello" not in nothing


def test_the_navigation_marks_where_one_is(client: Client) -> None:
    text = client.get("/overview").content.decode()
    assert text.count('href="/overview" aria-current="page"') == 2  # in the sidebar and in the drawer


def test_the_theme_chosen_before_is_there_at_the_first_paint(client: Client) -> None:
    assert "data-theme" not in client.get("/").content.decode().split("<head>")[0]
    client.cookies["theme"] = "dark"
    assert 'data-theme="mesh-dark"' in client.get("/").content.decode()
    client.cookies["theme"] = "'><script>"
    assert 'data-choice="system"' in client.get("/").content.decode()


def test_errors_are_pages_with_a_way_on(client: Client) -> None:
    page = client.get("/no/such/page")
    assert page.status_code == 404
    assert "Nothing is here" in page.content.decode()
    assert 'href="/overview"' in page.content.decode()
