"""The pages of slashes: what they show to whom, and how an appeal is handed in and answered."""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.core import parameters
from apps.core.models import User
from apps.ledger import faucet, slashing
from apps.ledger.amounts import MESH
from apps.ledger.models import Slash
from apps.operators import bans, slash_appeals
from apps.operators.models import Node, Operator, SlashAppeal, SlashCase
from tests.apps.operators.slash_cast import Money, enrolled, slashed
from tests.apps.operators.test_money_pages import as_, said
from workers.protocol.clock import utcnow

FORM = {"text": "My key was stolen.", "sure": "on"}


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    for forget in (parameters.forget_cached, bans.forget_cached):
        forget()
    yield
    for forget in (parameters.forget_cached, bans.forget_cached):
        forget()


@pytest.fixture
def node(operator: Operator, admin: User) -> Node:
    faucet.treasury_grant(operator.user, 100 * MESH, admin, "for tests", utcnow())
    return enrolled(operator)


@pytest.fixture
def case(node: Node) -> SlashCase:
    return slashed(node)


@pytest.fixture
def url(case: SlashCase) -> str:
    return f"/rewards/slashes/{case.public_id}"


def test_the_rewards_page_names_fault_evidence_and_the_way_to_appeal(operator: Operator, case: SlashCase) -> None:
    page = as_(operator.user).get("/rewards").content.decode()
    for words in (
        f"/rewards/slashes/{case.public_id}#appeal",
        f"/trading/evidence/{case.evidence.digest}",
        case.node.name,
        "Escrowed",
        "5000",
    ):
        assert words in page
    slashing.execute_due(now=case.slash.final_at)
    page = as_(operator.user).get("/rewards").content.decode()
    assert "#appeal" not in page
    assert "Executed" in page


def test_a_slashs_page_shows_amounts_window_and_bond(operator: Operator, url: str, case: SlashCase) -> None:
    page = as_(operator.user).get(url).content.decode()
    for words in (case.what, "At stake then", "100 %", "Appeal until", "Download to check it offline", "Bond", "once"):
        assert words in page
    assert f"/trading/evidence/{case.evidence.digest}/evidence.json" in page


def test_a_slash_is_its_owners_alone(client: Client, url: str, other: Operator, admin: User) -> None:
    for path in (url, f"{url}/appeal"):
        act = client.get if path == url else client.post
        assert act(path)["Location"].startswith("/accounts/login/")
    for somebody in (other.user, admin):
        theirs = as_(somebody)
        assert theirs.get(url).status_code == 404
        assert theirs.post(f"{url}/appeal", FORM).status_code == 404
    assert not SlashAppeal.objects.exists()


def test_an_appeal_needs_a_post_and_the_sites_token(operator: Operator, url: str) -> None:
    assert as_(operator.user).get(f"{url}/appeal").status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(operator.user)
    assert strict.post(f"{url}/appeal", FORM).status_code == 403
    assert as_(operator.user).get("/rewards/slashes/nonsense").status_code == 404


def test_an_appeal_is_handed_in_once_and_its_state_is_shown(operator: Operator, url: str, admin: User) -> None:
    client = as_(operator.user)
    answer = client.post(f"{url}/appeal", FORM)
    assert answer["Location"] == url
    assert said(answer) == ["Your appeal was handed in. Staff answer here and by mail."]
    page = client.get(url).content.decode()
    for words in ("My key was stolen.", "Appealed", "Until then the stake stays in escrow"):
        assert words in page
    assert "<form" not in page.partition('id="appeal"')[2].partition("</section>")[0]
    assert "already" in said(client.post(f"{url}/appeal", FORM))[-1]
    slash_appeals.answer(SlashAppeal.objects.get(), admin, "Both are yours.", utcnow(), granted=False)
    page = client.get(url).content.decode()
    for words in ("Not granted", "Both are yours.", "the bond went to the treasury", "It is final"):
        assert words in page


@pytest.mark.parametrize("form", [{"text": "x"}, {"sure": "on"}, {"text": "", "sure": "on"}])
def test_an_appeal_without_words_or_consent_is_shown_again(operator: Operator, url: str, form: dict[str, str]) -> None:
    answer = as_(operator.user).post(f"{url}/appeal", form)
    assert (answer.status_code, SlashAppeal.objects.count()) == (400, 0)
    assert "This field is required." in answer.content.decode()


def test_who_is_banned_can_still_appeal(operator: Operator, url: str, admin: User) -> None:
    bans.make(bans.Order(reason="It lied.", evidence="Two results.", user=operator.user), admin, utcnow())
    assert as_(operator.user).post("/rewards/stake", {}).status_code == 403
    assert as_(operator.user).post(f"{url}/appeal", FORM).status_code == 302
    assert SlashAppeal.objects.count() == 1


def test_the_rewards_page_asks_the_database_no_more_for_more_slashes(operator: Operator, node: Node) -> None:
    client, costs = as_(operator.user), []
    for _ in range(2):
        slashed(node)
        with CaptureQueriesContext(connection) as captured:
            client.get("/rewards")
        costs.append(len(captured))
    assert costs[0] == costs[1]


def test_staff_find_the_appeal_in_the_inbox_and_answer_it_there(
    operator: Operator, case: SlashCase, admin: User, client: Client
) -> None:
    before = Money.of(operator)
    made = slash_appeals.appeal(case.pk, operator.user, FORM["text"], utcnow())
    client.force_login(admin)
    inbox = client.get("/admin/").content.decode()
    assert "Appeals against slashes: 1" in inbox
    assert f"/admin/operators/slashappeal/{made.pk}/change/" in inbox
    for path in ("slashappeal/", f"slashappeal/{made.pk}/change/", "slashcase/", f"slashcase/{case.pk}/change/"):
        page = client.get(f"/admin/operators/{path}")
        assert page.status_code == 200
    assert client.get("/admin/operators/slashappeal/add/").status_code == 403
    # The dialog asks for the answer first.
    dialog = f"/admin/operators/slashappeal/{made.pk}/grant/"
    client.post(dialog, {"_form_submitted": "True", "reason": " "})
    assert Slash.objects.get().status == "appealed"
    client.post(dialog, {"_form_submitted": "True", "reason": "It was stolen."})
    made.refresh_from_db()
    assert (made.granted, made.answered_by, made.answer) == (True, admin, "It was stolen.")
    assert Slash.objects.get().status == "overturned"
    assert Money.of(operator).wallet == before.wallet
    assert "Appeals against slashes" not in client.get("/admin/").content.decode()


def test_staff_turn_appeals_down_in_bulk_and_nobody_else_sees_them(
    operator: Operator, case: SlashCase, admin: User, client: Client
) -> None:
    made = slash_appeals.appeal(case.pk, operator.user, FORM["text"], utcnow())
    act = {"action": "refuse_selected", "_selected_action": [made.pk]}
    client.force_login(operator.user)
    assert client.post("/admin/operators/slashappeal/", {**act, "reason": "x"}).status_code == 302
    assert Slash.objects.get().status == "appealed"
    client.force_login(admin)
    page = client.post("/admin/operators/slashappeal/", act).content.decode()
    assert "the treasury gets the rest" in page
    client.post("/admin/operators/slashappeal/", {**act, "reason": "Both are yours."})
    made.refresh_from_db()
    assert (made.granted, Slash.objects.get().status) == (False, "executed")
