"""The admin's lists: inbox, export, history, bans and appeals by hand; the same cost however many rows there are."""

import csv
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from apps.core import history, inbox, parameters
from apps.core.models import User
from apps.ledger.models import AuditRun
from apps.operators import appeals, applications, bans, reputation
from apps.operators.authentication import make_key
from apps.operators.models import ApiKey, Application, Ban, Node, NodeStatus, Notification, Operator
from tests.apps.operators.conftest import DATA
from workers.protocol.clock import utcnow
from workers.protocol.ids import new_id

ROOM = "/admin/operators/"
WORDS: dict[str, Any] = {"reason": "Forged results.", "evidence": "digest ab12"}


@pytest.fixture
def desk(client: Client, admin: User) -> Client:
    client.force_login(admin)
    bans.forget_cached()
    return client


def person(n: int) -> User:
    return User.objects.create_user(f"p{n}@example.org", name=f"Person {n}")


def an_application(n: int) -> None:
    now = utcnow()
    values = {name: DATA[name] for name in ("tier", "region", "hardware")}
    Application.objects.create(
        id=new_id("app", now), user=person(n), status="submitted", submitted_at=now, created_at=now, **values
    )


def an_operator(n: int) -> Operator:
    now = utcnow()
    return Operator.objects.create(id=new_id("op", now), user=person(n), tier="ALL", region="eu-west", approved_at=now)


def a_node(n: int) -> Node:
    now, operator = utcnow(), an_operator(n)
    return Node.objects.create(
        id=new_id("node", now),
        operator=operator,
        name=f"n{n}",
        status_at=now,
        sign_public=f"s{n}",
        seal_public=f"e{n}",
        kid=f"k{n}",
        enrolled_at=now,
    )


def a_ban(n: int) -> None:
    Ban.objects.create(id=f"ban_{n}", kind="node", node=a_node(n), at=utcnow(), made_by=boss(), **WORDS)


def boss() -> User:
    return User.objects.get(email="ada@example.org")


def an_appeal(n: int) -> None:
    a_ban(n)
    ban = Ban.objects.get(pk=f"ban_{n}")
    ban.appeals.create(id=f"apl_{n}", by=ban.node.operator.user, text="No.", at=utcnow())  # type: ignore[union-attr]


def a_change(n: int) -> None:
    reputation.record(a_node(n).pk, "success", utcnow())


def a_key(n: int) -> None:
    make_key(person(n), "x", ["jobs:read"], utcnow())


LISTS: dict[str, Callable[[int], Any]] = {
    f"{ROOM}application/": an_application,
    f"{ROOM}operator/": an_operator,
    f"{ROOM}node/": a_node,
    f"{ROOM}ban/": a_ban,
    f"{ROOM}appeal/": an_appeal,
    f"{ROOM}reputationchange/": a_change,
    f"{ROOM}apikey/": a_key,
    "/admin/core/user/": person,
}


@pytest.mark.parametrize("address", LISTS)
def test_a_list_costs_the_same_with_ten_rows_and_with_a_hundred(
    address: str, desk: Client, django_assert_max_num_queries: Any
) -> None:
    costs, made = [], 0
    for count in (10, 100):
        while made < count:
            LISTS[address](made)
            made += 1
        desk.get(address)  # What processes keep for a second is read here.
        with django_assert_max_num_queries(25) as captured:
            page = desk.get(address)
        assert page.status_code == 200
        assert page.context["cl"].result_count >= count
        costs.append(len(captured))
    assert costs[0] == costs[1]


@pytest.mark.parametrize("address", LISTS)
def test_a_list_is_searched_and_saved_as_csv(address: str, desk: Client, django_assert_max_num_queries: Any) -> None:
    for n in range(3):
        LISTS[address](n)
    found = desk.get(address, {"q": "p1@example.org"}).context["cl"]
    assert found.search_fields
    chosen = list(desk.get(address).context["cl"].queryset.values_list("pk", flat=True))
    data = {"action": "export_selected", "_selected_action": chosen, "select_across": "0"}
    with django_assert_max_num_queries(15):
        answer = desk.post(address, data)
        lines = list(csv.reader(answer.getvalue().decode().splitlines()))  # type: ignore[attr-defined]
    assert answer["Content-Disposition"].startswith("attachment")
    assert len(lines) == 1 + len(chosen)
    assert len({len(line) for line in lines}) == 1


def test_a_cell_that_a_spreadsheet_would_run_is_quoted(desk: Client) -> None:
    evil = User.objects.create_user("e@example.org", name="=HYPERLINK(1)")
    data = {"action": "export_selected", "_selected_action": [evil.pk]}
    body = desk.post("/admin/core/user/", data).getvalue().decode()  # type: ignore[attr-defined]
    assert "'=HYPERLINK(1)" in body
    assert "pbkdf2" not in body


def test_an_empty_inbox_says_so_and_a_full_one_counts_and_links(desk: Client) -> None:
    assert "Nothing waits" in desk.get("/admin/").content.decode()
    for n in range(7):
        an_application(n)
    an_appeal(8)
    node = a_node(9)
    Node.objects.filter(pk=node.pk).update(status=NodeStatus.SUSPENDED, reason=reputation.SUSPENDED)
    AuditRun.objects.create(at=utcnow(), finished_at=utcnow(), ok=False, report={})
    lost = {"kind": "node_offline", "subject": "x", "body": "x", "created_at": utcnow()}
    Notification.objects.create(user=node.operator.user, attempts=Notification.MOST_ATTEMPTS, **lost)
    page = desk.get("/admin/")
    text = page.content.decode()
    titles = {str(section.title): section.count for section in page.context["inbox"]}
    assert titles == {
        "Failed audits": 1,
        "Applications to review": 7,
        "Appeals to answer": 1,
        "Nodes without reputation": 1,
        "Mail that did not leave": 1,
    }
    assert page.context["inbox_count"] == 11
    for section in page.context["inbox"]:
        assert f'href="{section.url}"' in text
        assert desk.get(section.url).status_code == 200
        assert section.items
        assert all(desk.get(item.url).status_code == 200 for item in section.items)
    AuditRun.objects.create(at=utcnow(), finished_at=utcnow(), ok=True, report={})
    assert "Failed audits" not in desk.get("/admin/").content.decode()


def test_the_inbox_costs_the_same_however_much_waits(desk: Client, django_assert_max_num_queries: Any) -> None:
    costs = []
    for batch in range(2):
        for n in range(batch * 10, batch * 50 + 10):
            an_application(1000 * batch + n)
        parameters.forget_cached()
        desk.get("/admin/")
        with django_assert_max_num_queries(40) as captured:
            desk.get("/admin/")
        costs.append(len(captured))
    assert costs[0] == costs[1]


def test_staff_see_of_the_inbox_what_they_may(client: Client) -> None:
    an_application(1)
    clerk = User.objects.create_user("clerk@example.org", is_staff=True)
    assert inbox.sections(clerk, utcnow()) == []
    clerk.user_permissions.add(Permission.objects.get(codename="view_application"))
    clerk = User.objects.get(pk=clerk.pk)
    assert [section.count for section in inbox.sections(clerk, utcnow())] == [1]
    client.force_login(clerk)
    assert "Applications to review: 1" in client.get("/admin/").content.decode()


def test_every_change_of_a_user_is_in_the_history_and_no_password(desk: Client, admin: User) -> None:
    anna = person(1)
    values = {"email": "new@example.org", "name": "Anna", "time_zone": "UTC", "is_active": "on"}
    assert desk.post(f"/admin/core/user/{anna.pk}/change/", {**values, "is_staff": "on"}).status_code == 302
    assert desk.post(f"/admin/core/user/{anna.pk}/change/", {**values, "name": "Anne"}).status_code == 302
    second, first = history.of(f"user:{anna.pk}")
    assert (first.kind, first.actor) == ("user.changed", "Ada")
    assert dict(first.values)["email"] == "new@example.org"
    assert dict(second.values)["is_staff"] == "True → False"
    assert dict(second.values)["name"] == "Anna → Anne"
    page = desk.get(f"/admin/core/user/{anna.pk}/change/").content.decode()
    assert "Anna → Anne" in page
    made = {"email": "made@example.org", "password1": "long-enough-1", "password2": "long-enough-1"}
    desk.post("/admin/core/user/add/", made)
    [line] = history.of(f"user:{User.objects.get(email='made@example.org').pk}")
    assert line.kind == "user.made"
    assert "long-enough" not in str(line)


def test_an_applications_history_shows_what_changed_between_submissions(desk: Client, admin: User) -> None:
    an_application(1)
    application = Application.objects.get()
    applications.reject(application, admin, "Too small.", utcnow(), criterion="hardware")
    more = {**DATA, "hardware": {**DATA["hardware"], "memory_gb": 64}}
    applications.submit(application.user, more, utcnow())
    page = desk.get(f"{ROOM}application/{application.pk}/change/").content.decode()
    assert "hardware.memory_gb: 32 → 64" in page
    assert "criterion: hardware" in page


BAN = {"kind": "account", "subject": "p1@example.org", **WORDS, "ends_at_0": "", "ends_at_1": ""}


def test_staff_ban_with_a_form_and_lift_with_a_reason(desk: Client) -> None:
    person(1)
    url = f"{ROOM}ban/ban/"
    assert b"no such account" in desk.post(url, {**BAN, "subject": "nobody@example.org"}).content
    assert b"64 hex digits" in desk.post(url, {**BAN, "kind": "address", "subject": "0x1"}).content
    assert desk.post(url, {**BAN, "evidence": ""}).context["form"].errors
    assert desk.post(url, {**BAN, "subject": "ada@example.org"}).context["form"].errors
    assert not Ban.objects.exists()
    assert desk.post(url, BAN).status_code == 302
    ban = Ban.objects.get()
    assert (ban.subject, ban.reason, ban.ends_at) == ("Person 1", "Forged results.", None)
    assert b"A ban of that stands already" in desk.post(url, BAN).content
    data = {"action": "lift_selected", "_selected_action": [ban.pk]}
    assert b'name="reason"' in desk.post(f"{ROOM}ban/", data).content
    desk.post(f"{ROOM}ban/", {**data, "reason": "It was another person."})
    ban.refresh_from_db()
    assert (ban.lifted_by, ban.lift_reason) == (boss(), "It was another person.")
    kinds = [line.kind for line in history.of(ban.pk)]
    assert kinds == ["ban.lifted", "ban.made"]
    assert desk.get(f"{ROOM}ban/").context["cl"].result_count == 0
    assert desk.get(f"{ROOM}ban/?standing=no").context["cl"].result_count == 1


def test_a_ban_with_an_end_takes_it_in_utc(desk: Client) -> None:
    person(1)
    end = (utcnow() + timedelta(days=2)).replace(second=0, microsecond=0)
    desk.post(f"{ROOM}ban/ban/", {**BAN, "ends_at_0": f"{end:%Y-%m-%d}", "ends_at_1": f"{end:%H:%M:%S}"})
    assert Ban.objects.get().ends_at == end


def test_staff_answer_appeals_in_bulk(desk: Client) -> None:
    for n in range(2):
        an_appeal(n)
    data = {"action": "refuse_selected", "_selected_action": ["apl_0"], "reason": "The digest is yours."}
    desk.post(f"{ROOM}appeal/", data)
    desk.post(f"{ROOM}appeal/", {**data, "action": "grant_selected", "_selected_action": ["apl_1"], "reason": "So."})
    assert list(Ban.objects.order_by("pk").values_list("lift_reason", flat=True)) == ["", "So."]
    assert Notification.objects.filter(kind="appeal_answered").count() == 2
    again = desk.post(f"{ROOM}appeal/?answered=all", {**data, "action": "grant_selected"}, follow=True)
    assert b"This appeal was answered" in again.content
    assert Ban.objects.standing(utcnow()).count() == 1


def test_rows_are_decided_in_their_dialogs(desk: Client) -> None:
    operator, node = an_operator(1), a_node(2)
    sent = {"_form_submitted": "True", "reason": "Abuse report."}
    desk.post(f"{ROOM}operator/{operator.pk}/suspend/", {**sent, "reason": " "})
    operator.refresh_from_db()
    assert operator.status == "active"
    desk.post(f"{ROOM}operator/{operator.pk}/suspend/", sent)
    operator.refresh_from_db()
    assert (operator.status, operator.reason) == ("suspended", "Abuse report.")
    desk.post(f"{ROOM}operator/{operator.pk}/reinstate/", {"_form_submitted": "True"})
    operator.refresh_from_db()
    assert operator.status == "active"
    desk.post(f"{ROOM}node/{node.pk}/suspend/", sent)
    desk.post(f"{ROOM}node/{node.pk}/revoke/", {**sent, "reason": "Sold."})
    node.refresh_from_db()
    assert (node.status, node.reason) == ("revoked", "Sold.")
    assert [line.actor for line in history.of(node.pk) if line.actor] == ["Ada", "Ada"]


def test_staff_revoke_keys_with_a_reason(desk: Client) -> None:
    a_key(1)
    key = ApiKey.objects.get()
    data = {"action": "revoke_selected", "_selected_action": [key.pk], "reason": "It leaked."}
    desk.post(f"{ROOM}apikey/", data)
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert ("reason", "It leaked.") in history.of(key.pk)[0].values


@pytest.mark.parametrize("who", ["visitor", "person", "clerk"])
def test_only_those_who_may_ban_lift_and_answer(client: Client, admin: User, who: str) -> None:
    an_appeal(1)
    people = {"person": person(50), "clerk": User.objects.create_user("clerk@example.org", is_staff=True)}
    if who in people:
        client.force_login(people[who])
    sent = {"reason": "So.", "_form_submitted": "True"}
    for path in (*LISTS, f"{ROOM}ban/ban/", "/admin/"):
        assert client.get(path).status_code in ({302, 403} if path != "/admin/" else {200, 302})
    client.post(f"{ROOM}ban/ban/", {**BAN, "subject": "p50@example.org"})
    client.post(f"{ROOM}ban/", {**sent, "action": "lift_selected", "_selected_action": ["ban_1"]})
    client.post(f"{ROOM}appeal/", {**sent, "action": "grant_selected", "_selected_action": ["apl_1"]})
    assert Ban.objects.count() == 1
    assert Ban.objects.get().lifted_at is None
    assert appeals.Appeal.objects.open().count() == 1
