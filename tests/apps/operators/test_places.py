"""A tier has so many places: nobody is approved beyond them, and who leaves makes room."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from apps.core import parameters
from apps.core.models import User
from apps.ledger import accounts
from apps.operators import account_deletion, applications, enrolment, nodes, places, stakes, tiers
from apps.operators.errors import TierFull
from apps.operators.models import Application, Operator
from tests.apps.operators.conftest import DATA
from tests.apps.operators.test_enrolment import prepared
from workers.protocol.clock import utcnow

QUEUE = "/admin/operators/application/"


@pytest.fixture(autouse=True)
def one_oracle() -> Iterator[None]:
    parameters.forget_cached()
    set_most("oracle", 1)
    yield
    parameters.forget_cached()


def set_most(tier: str, most: int) -> None:
    name = f"operators.most_{tier}"
    parameters.set_parameter(name, most, actor=None, reason="A small network.", now=utcnow())
    parameters.forget_cached()


def submit(email: str, tier: str = "ORACLE") -> Application:
    return applications.submit(User.objects.create_user(email, "long-enough-1"), {**DATA, "tier": tier}, utcnow())


def taken(tier: str = "ORACLE") -> int:
    return places.of_tiers()[tier].taken


@pytest.mark.parametrize(("tier", "most"), [("all", 1000), ("oracle", 100), ("guardian", 50)])
def test_the_network_begins_with_the_missions_places(tier: str, most: int) -> None:
    assert parameters.PARAMETERS[f"operators.most_{tier}"].default == most


def test_an_approval_beyond_the_most_is_refused_and_changes_nothing(operator: Operator, admin: User) -> None:
    application = submit("anna@example.org")
    with pytest.raises(TierFull, match="Wait until one leaves, or choose another tier") as refused:
        applications.approve(application, admin, utcnow())
    assert refused.value.code == "tier_full"
    application.refresh_from_db()
    assert (application.status, application.reviewed_by) == ("submitted", None)
    assert accounts.balance(application.user) == 0
    assert not Operator.objects.filter(user=application.user).exists()
    applications.approve(submit("abel@example.org", "ALL"), admin, utcnow())


def test_a_refused_application_is_approved_once_there_is_room(operator: Operator, admin: User) -> None:
    application = submit("anna@example.org")
    with pytest.raises(TierFull):
        applications.approve(application, admin, utcnow())
    set_most("oracle", 2)
    assert applications.approve(application, admin, utcnow()).tier == "ORACLE"
    assert taken() == 2


def test_the_admin_is_told_on_the_row_and_in_bulk(client: Client, admin: User) -> None:
    first, second = submit("anna@example.org"), submit("bert@example.org")
    client.force_login(admin)
    chosen = {"action": "approve_selected", "_selected_action": [first.pk, second.pk]}
    bulk = client.post(QUEUE, chosen, follow=True).content.decode()
    assert "bert@example.org: Tier ORACLE has as many operators as the network allows (1)." in bulk
    assert "1: approved" in bulk
    row = client.post(f"{QUEUE}{second.pk}/approve/", {"_form_submitted": "True"}, follow=True).content.decode()
    assert "bert@example.org: Tier ORACLE has as many operators" in row
    assert list(Operator.objects.values_list("user__email", flat=True)) == ["anna@example.org"]


@pytest.mark.django_db(transaction=True)
def test_the_last_place_is_given_once_however_many_approve_at_once(admin: User) -> None:
    rows = [submit(f"a{n}@example.org") for n in range(4)]
    start = Barrier(len(rows))

    def approve(row: Application) -> str:
        start.wait()
        try:
            applications.approve(row, admin, utcnow())
        except TierFull as error:
            return error.code
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(len(rows)) as pool:
        outcomes = sorted(pool.map(approve, rows))
    assert outcomes == ["done", *["tier_full"] * 3]
    assert Operator.objects.count() == taken() == 1


def test_who_takes_the_whole_stake_back_makes_room(operator: Operator, admin: User) -> None:
    stakes.take_back(operator.user, tiers.stake_of("ORACLE"), utcnow())
    assert taken() == 0
    applications.approve(submit("anna@example.org"), admin, utcnow())
    assert taken() == 1


def test_who_comes_back_needs_a_place_again(operator: Operator, admin: User) -> None:
    leaving = stakes.take_back(operator.user, tiers.stake_of("ORACLE"), utcnow())
    newcomer = applications.approve(submit("anna@example.org"), admin, utcnow())
    with pytest.raises(TierFull):
        stakes.cancel(operator.user, leaving.pk, utcnow())
    assert not operator.has_stake
    User.objects.filter(pk=newcomer.user_id).update(is_active=False)
    stakes.cancel(operator.user, leaving.pk, utcnow())
    assert operator.has_stake
    assert taken() == 1


def test_an_account_that_is_deleted_before_it_staked_makes_room(admin: User) -> None:
    operator = applications.approve(submit("anna@example.org"), admin, utcnow())
    account_deletion.delete(operator.user, utcnow())
    assert taken() == 0
    applications.approve(submit("bert@example.org"), admin, utcnow())


def test_a_suspended_operator_and_one_with_a_node_keep_their_places(operator: Operator, admin: User) -> None:
    node = enrolment.enrol(prepared(operator), utcnow())
    Operator.objects.filter(pk=operator.pk).update(status="suspended", reason="Unanswered abuse report.")
    assert taken() == 1
    operator.stakes.update(status="released")
    assert taken() == 1
    nodes.revoke(node, reason="Gone.", now=utcnow())
    assert taken() == 0


def test_the_page_of_applying_says_what_is_taken_and_what_is_full(
    client: Client, operator: Operator, applicant: User
) -> None:
    client.force_login(applicant)
    page = client.get("/apply").content.decode()
    assert "1 / 1" in page
    assert "0 / 1000" in page
    assert page.count("This tier is full.") == 1
    applications.submit(applicant, DATA, utcnow())
    assert "Tier ORACLE is full: it has 1 operators at most." in client.get("/apply").content.decode()
    set_most("oracle", 2)
    assert "is full" not in client.get("/apply").content.decode()


def test_the_page_costs_the_same_however_many_operators_there_are(
    client: Client, operator: Operator, applicant: User, admin: User, django_assert_max_num_queries: Any
) -> None:
    set_most("oracle", 10)
    client.force_login(applicant)
    costs = []
    for batch in range(2):
        for n in range(3 * batch):
            applications.approve(submit(f"p{n}@example.org"), admin, utcnow())
        parameters.forget_cached()
        with django_assert_max_num_queries(30) as captured:
            client.get("/apply")
        costs.append(len(captured))
    assert costs[0] == costs[1]
