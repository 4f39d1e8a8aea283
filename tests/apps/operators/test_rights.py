"""What the table of permissions does not say: links, the token of forms, scopes of keys, live topics, lists."""

from typing import Any

import pytest
from django.test import Client

from apps.core import live
from apps.core.models import User
from apps.operators import applications, enrolment, nodes
from apps.operators.authentication import make_key
from apps.operators.models import Application, Node, NodeStatus, Operator, Scope
from tests.apps.operators.conftest import DATA, HARDWARE
from tests.apps.operators.test_enrolment import prepared
from workers.protocol.clock import utcnow

WHO = ("visitor", "applicant", "operator", "other", "staff")
ACTIONS = (
    "/apply/stake",
    "/nodes/{node}/drain",
    "/nodes/{node}/resume",
    "/nodes/{node}/revoke",
    "/nodes/{node}/limits",
    "/keys/key_unknown/revoke",
    "/bans/ban_unknown/appeal",
    "/hosts/host_unknown/leave",
)


@pytest.fixture
def node(operator: Operator) -> Node:
    node = enrolment.enrol(prepared(operator), utcnow())
    for status in (NodeStatus.SELF_TEST, NodeStatus.ONLINE):
        node.move(status, "", "", utcnow())
    return node


@pytest.fixture
def cast(applicant: User, operator: Operator, other: Operator, admin: User) -> dict[str, User | None]:
    applications.submit(applicant, DATA, utcnow())
    return {"visitor": None, "applicant": applicant, "operator": operator.user, "other": other.user, "staff": admin}


def as_(who: User | None) -> Client:
    client = Client()
    if who is not None:
        client.force_login(who)
    return client


@pytest.mark.parametrize("page", ACTIONS)
def test_nothing_is_done_by_a_link(page: str, operator: Operator, node: Node) -> None:
    assert as_(operator.user).get(page.format(node=node.pk)).status_code in {404, 405}
    node.refresh_from_db()
    assert node.status == NodeStatus.ONLINE


def test_posts_without_the_sites_token_are_refused(operator: Operator, node: Node) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator.user)
    assert client.post(f"/nodes/{node.pk}/revoke").status_code == 403
    assert client.post("/keys", {"name": "x"}).status_code == 403
    claim = client.post("/api/v1/faucet/claim", {"reward": "wallet_connect"}, content_type="application/json")
    assert claim.status_code == 403
    node.refresh_from_db()
    assert node.status == NodeStatus.ONLINE


def test_a_nodes_live_topic_is_its_operators_and_the_staffs(cast: dict[str, User | None], node: Node) -> None:
    seen = [live.may_read(cast[who], f"node.{node.pk}") for who in WHO]
    assert seen == [False, False, True, False, True]


def test_keys_keep_to_their_scopes_and_never_apply(applicant: User) -> None:
    reader = make_key(applicant, "r", [Scope.JOBS_READ], utcnow())[1]
    writer = make_key(applicant, "w", [Scope.JOBS_READ, Scope.JOBS_WRITE], utcnow())[1]
    keeper = make_key(applicant, "k", [Scope.WALLET_WRITE], utcnow())[1]
    client = Client()

    def send(method: str, path: str, key: str, **body: object) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {key}"}
        answer = client.generic(method, path, b"{}", content_type="application/json", headers=headers)
        return answer.status_code, answer.json().get("code", "")

    assert send("GET", "/api/v1/me", reader)[0] == 200
    for path in ("wallets", "faucet/claim", "transfers", "stakes", "mandates/mdt_x/revoke", "hosts/host_x/leave"):
        for key in (reader, writer):
            assert send("POST", f"/api/v1/{path}", key) == (403, "scope_missing")
    assert send("POST", "/api/v1/wallets", keeper)[0] == 400
    assert send("POST", "/api/v1/jobs", keeper) == (403, "scope_missing")
    assert send("POST", "/api/v1/application", writer) == (403, "session_needed")
    assert send("GET", "/api/v1/me", writer[:-1]) == (401, "api_key_invalid")
    assert send("GET", "/api/v1/me", "mwt_0_0") == (401, "api_key_invalid")


def test_applying_over_the_api_names_faulty_fields(applicant: User) -> None:
    client = as_(applicant)
    body = {**DATA, "agree": True}
    small = {**body, "hardware": {**HARDWARE, "cpu_cores": 1}}
    refused = client.post("/api/v1/application", small, content_type="application/json").json()
    assert refused["errors"][0]["pointer"] == "/hardware/cpu_cores"
    unwilling = client.post("/api/v1/application", {**body, "agree": False}, content_type="application/json").json()
    assert unwilling["errors"][0]["code"] == "consent_missing"
    assert not Application.objects.exists()
    made = client.post("/api/v1/application", body, content_type="application/json")
    assert (made.status_code, made.json()["status"]) == (201, "submitted")
    assert made.json()["next_step"]
    again = client.post("/api/v1/application", body, content_type="application/json")
    assert (again.status_code, again.json()["code"]) == (409, "application_closed")


def test_the_list_of_nodes_filters_and_hides_revoked_ones(operator: Operator, other: Operator, node: Node) -> None:
    revoked = enrolment.enrol(prepared(other, "old"), utcnow())
    nodes.revoke(revoked, reason="Sold.", now=utcnow())

    def names(query: str, who: User | None = None) -> list[str]:
        return [row["name"] for row in as_(who).get(f"/api/v1/nodes{query}").json()["results"]]

    assert names("") == ["fra-1"]
    assert names("?status=offline") == []
    assert names("?mine=1") == []
    assert names("?mine=1", operator.user) == ["fra-1"]
    assert names("?mine=1", other.user) == []
    shown = as_(None).get(f"/api/v1/nodes/{revoked.pk}").json()
    assert (shown["status"], shown["reason"]) == ("revoked", "Sold.")
    assert not {"sign_public", "kid", "probe", "broker_sha256"} & set(shown)


@pytest.mark.parametrize("page", ["/nodes", "/nodes/live", "/apply", "/api/v1/nodes"])
def test_a_page_costs_the_same_however_many_nodes_there_are(
    page: str, operator: Operator, django_assert_max_num_queries: Any
) -> None:
    client, costs = as_(operator.user), []
    for batch in range(2):
        for n in range(1 + 4 * batch):
            enrolment.enrol(prepared(operator, f"n{batch}-{n}"), utcnow())
        asked = []
        # What processes keep for a second is read in some of them.
        for _ in range(4):
            with django_assert_max_num_queries(25) as captured:
                client.get(page)
            asked.append(len(captured))
        costs.append(min(asked))
    assert costs[0] == costs[1]
