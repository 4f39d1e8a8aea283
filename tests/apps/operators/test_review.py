"""The admin: the review queue, standing of operators and nodes, and who gets in."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.admin.models import LogEntry
from django.db import connections
from django.test import Client
from pytest_django.fixtures import Settings

from apps.core import live, staff
from apps.core.models import Event, User
from apps.ledger import accounts
from apps.operators import applications, enrolment, errors, standing, tiers, waiting
from apps.operators.authentication import make_key
from apps.operators.models import Application, Node, NodeStatus, Operator, Scope
from tests.apps.operators.conftest import DATA
from tests.apps.operators.test_enrolment import prepared
from workers.protocol.clock import utcnow

QUEUE = "/admin/operators/application/"


def submit(user: User, **changes: Any) -> Application:
    return applications.submit(user, {**DATA, **changes}, utcnow())


@pytest.fixture
def desk(client: Client, admin: User) -> Client:
    client.force_login(admin)
    return client


def test_a_row_is_approved_by_a_form_and_never_by_a_link(desk: Client, applicant: User) -> None:
    application = submit(applicant)
    asked = desk.get(f"{QUEUE}{application.pk}/approve/")
    assert b"treasury grants" in asked.content
    application.refresh_from_db()
    assert application.status == "submitted"
    assert desk.post(f"{QUEUE}{application.pk}/approve/", {"_form_submitted": "True"})["Location"] == QUEUE
    application.refresh_from_db()
    assert application.status == "approved"
    assert accounts.balance(applicant) == tiers.stake_of("ORACLE")


def test_a_row_is_rejected_with_a_reason_only(desk: Client, applicant: User) -> None:
    application = submit(applicant)
    url = f"{QUEUE}{application.pk}/reject/"
    assert desk.post(url, {"_form_submitted": "True", "reason": "  ", "criterion": "hardware"}).status_code == 200
    application.refresh_from_db()
    assert application.status == "submitted"
    done = desk.post(
        url,
        {"_form_submitted": "True", "reason": "No uplink.", "criterion": "bandwidth"},
        headers={"HX-Request": "true"},
    )
    assert done["HX-Redirect"] == QUEUE
    application.refresh_from_db()
    assert (application.status, application.reason) == ("rejected", "No uplink.")


def test_an_applications_page_shows_hardware_and_history(desk: Client, applicant: User, admin: User) -> None:
    application = submit(applicant)
    applications.reject(application, admin, "Too little memory.", utcnow(), criterion="hardware")
    submit(applicant, tier="ALL")
    page = desk.get(f"{QUEUE}{application.pk}/change/").content.decode()
    assert page.count("application.submitted") == 2
    assert "Too little memory." in page
    assert "Debian 12" in page
    assert 'name="tier"' not in page


def test_a_decision_is_in_the_admins_history(desk: Client, applicant: User, admin: User) -> None:
    application = submit(applicant)
    desk.post(f"{QUEUE}{application.pk}/approve/", {"_form_submitted": "True"})
    entry = LogEntry.objects.get(object_id=application.pk)
    assert (entry.user, entry.change_message) == (admin, "Approved.")


def test_an_application_that_was_decided_meanwhile_is_named(desk: Client, applicant: User) -> None:
    application = submit(applicant)
    other = User.objects.create_superuser("abe@example.org", "long-enough-1")
    applications.reject(Application.objects.get(pk=application.pk), other, "Too late.", utcnow(), criterion="hardware")
    data = {"action": "approve_selected", "_selected_action": [application.pk]}
    answer = desk.post(f"{QUEUE}?status=all", data, follow=True)
    assert b"anna@example.org: The application has been decided" in answer.content
    assert not Operator.objects.exists()


def test_nobody_reviews_their_own_application(admin: User) -> None:
    with pytest.raises(errors.SelfReview):
        applications.approve(submit(admin), admin, utcnow())
    assert Application.objects.get().status == "submitted"


def test_an_application_of_a_closed_account_leaves_the_queue_until_it_is_opened_again(
    desk: Client, applicant: User
) -> None:
    closed, behind = submit(applicant), submit(User.objects.create_user("bert@example.org"))
    for opened in (False, True):
        User.objects.filter(pk=applicant.pk).update(is_active=opened)
        for page in (QUEUE, f"{QUEUE}?status=submitted"):
            assert (str(applicant.email) in desk.get(page).content.decode()) == opened, page
        assert waiting.reviews(utcnow()).count == 1 + opened
        assert applications.place_in_queue(behind) == 1 + opened
    User.objects.filter(pk=applicant.pk).update(is_active=False)
    assert str(applicant.email) in desk.get(f"{QUEUE}?status=all").content.decode()
    refused = desk.post(f"{QUEUE}{closed.pk}/approve/", {"_form_submitted": "True"})
    assert refused["Location"] == QUEUE
    told = desk.get(QUEUE).content.decode()
    assert "account was deleted or closed. There is nothing to review." in told
    closed.refresh_from_db()
    assert closed.status == "submitted"
    assert not Operator.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_admins_at_once_make_one_decision(applicant: User, admin: User) -> None:
    application = submit(applicant)
    others = [User.objects.create_superuser(f"abe{n}@example.org", "long-enough-1") for n in range(3)]

    def decide(n: int) -> str:
        row = Application.objects.get(pk=application.pk)
        row.status = "submitted"
        try:
            if n % 2:
                applications.approve(row, others[n % 3], utcnow())
            else:
                applications.reject(row, admin, f"Reason {n}.", utcnow(), criterion="hardware")
        except errors.ApplicationClosed as error:
            return error.code
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(4) as pool:
        outcomes = sorted(pool.map(decide, range(8)))
    assert outcomes == ["application_closed"] * 7 + ["done"]
    application.refresh_from_db()
    assert Operator.objects.count() == (application.status == "approved")
    assert Event.objects.filter(kind__in=["application.approved", "application.rejected"]).count() == 1


@pytest.mark.parametrize("who", ["visitor", "applicant", "operator", "clerk"])
def test_only_reviewers_get_to_the_queue(client: Client, operator: Operator, who: str) -> None:
    application = submit(User.objects.create_user("bert@example.org"))
    clerk = User.objects.create_user("clerk@example.org", is_staff=True)
    people = {"applicant": application.user, "operator": operator.user, "clerk": clerk}
    if who in people:
        client.force_login(people[who])
    for url in (QUEUE, f"{QUEUE}{application.pk}/change/", f"{QUEUE}{application.pk}/approve/"):
        assert client.get(url).status_code in {302, 403}
    client.post(f"{QUEUE}{application.pk}/approve/", {"_form_submitted": "True"})
    client.post(QUEUE, {"action": "approve_selected", "_selected_action": [application.pk]})
    application.refresh_from_db()
    assert application.status == "submitted"


def test_the_queue_costs_the_same_however_long_it_is(desk: Client, django_assert_max_num_queries: Any) -> None:
    costs = []
    for batch in range(2):
        for n in range(1 + 10 * batch):
            submit(User.objects.create_user(f"p{batch}-{n}@example.org"))
        with django_assert_max_num_queries(20) as captured:
            desk.get(QUEUE)
        costs.append(len(captured))
    assert costs[0] == costs[1]


def test_suspended_operators_get_no_tokens_until_reinstated(desk: Client, operator: Operator, admin: User) -> None:
    url = "/admin/operators/operator/"
    data = {"action": "suspend_selected", "_selected_action": [operator.pk]}
    assert b'name="reason"' in desk.post(url, data).content
    desk.post(url, {**data, "reason": "Unanswered abuse report."})
    operator.refresh_from_db()
    assert (operator.status, operator.reason) == ("suspended", "Unanswered abuse report.")
    with pytest.raises(errors.NotApproved):
        enrolment.issue_token(operator, "fra-1", utcnow())
    assert not standing.suspend(operator, actor=admin, reason="Again.", now=utcnow())
    desk.post(url, {"action": "reinstate_selected", "_selected_action": [operator.pk]})
    operator.refresh_from_db()
    assert (operator.status, operator.reason) == ("active", "")


def test_staff_suspend_reinstate_and_revoke_nodes_with_reasons(desk: Client, operator: Operator) -> None:
    node = enrolment.enrol(prepared(operator), utcnow())
    url, chosen = "/admin/operators/node/", {"_selected_action": [node.pk]}
    for action, status in (
        ("suspend_selected", NodeStatus.SUSPENDED),
        ("reinstate_selected", NodeStatus.OFFLINE),
        ("revoke_selected", NodeStatus.REVOKED),
    ):
        desk.post(url, {**chosen, "action": action, "reason": "Wrong answers."})
        assert Node.objects.get().status == status
    assert Node.objects.get().reason == "Wrong answers."
    refused = desk.post(url, {**chosen, "action": "reinstate_selected", "reason": "Again."}, follow=True)
    assert b"cannot become" in refused.content


def test_a_production_network_asks_staff_for_a_second_factor(desk: Client, admin: User, settings: Settings) -> None:
    settings.STAFF_NEED_SECOND_FACTOR = True
    sent = desk.get(QUEUE, follow=True)
    assert sent.redirect_chain[-1][0].startswith("/accounts/")
    assert "2fa/totp/activate" in str(sent.redirect_chain) or "reauthenticate" in str(sent.redirect_chain)
    TOTP.activate(admin, generate_totp_secret())
    assert "/accounts/2fa/reauthenticate/" in desk.get(QUEUE, follow=True).redirect_chain[-1][0]


def test_a_session_with_a_second_factor_gets_in(desk: Client, admin: User, settings: Settings) -> None:
    settings.STAFF_NEED_SECOND_FACTOR = True
    session = desk.session
    session["account_authentication_methods"] = [{"method": "password"}, {"method": "mfa", "type": "totp"}]
    session["account_authentication_methods_user"] = str(admin.pk)
    session.save()
    assert desk.get(QUEUE).status_code == 200


def test_staffs_powers_outside_the_admin_need_the_second_factor_too(
    desk: Client, admin: User, operator: Operator, settings: Settings
) -> None:
    node = enrolment.enrol(prepared(operator), utcnow())
    text = make_key(admin, "k", list(Scope.values), utcnow())[1]
    program = Client(headers={"Authorization": f"Bearer {text}"})
    assert desk.get(f"/nodes/{node.pk}").status_code == 200
    settings.STAFF_NEED_SECOND_FACTOR = True
    assert desk.get(f"/nodes/{node.pk}").status_code == 404
    for path in ("/ledger/audit/run", "/trading/flatten", "/api/v1/ledger/audit"):
        assert desk.post(path, {"reason": "Now."}).status_code == 403
    assert program.post("/api/v1/ledger/audit").status_code == 403
    assert not live.may_read(admin, "admin")
    session = desk.session
    session["account_authentication_methods"] = [{"method": "password"}, {"method": "mfa", "type": "totp"}]
    session["account_authentication_methods_user"] = str(admin.pk)
    session.save()
    assert desk.get(f"/nodes/{node.pk}").status_code == 200
    assert desk.post("/trading/flatten").status_code == 302
    assert live.may_read(staff.marked(admin, session), "admin")


def test_only_the_admins_pages_may_evaluate_text(desk: Client) -> None:
    assert "'unsafe-eval'" in desk.get(QUEUE)["Content-Security-Policy"]
    assert "'unsafe-eval'" not in desk.get("/nodes")["Content-Security-Policy"]
