"""Applying, reviewing, staking."""

import pytest
from django.test import Client

from apps.core.models import Event, User
from apps.ledger import accounts
from apps.ledger.errors import InsufficientFunds
from apps.operators import applications, stakes, tiers
from apps.operators.errors import ApplicationClosed, ReasonMissing, StakeLocked
from apps.operators.models import Application, Operator, Stake
from tests.apps.operators.conftest import DATA, HARDWARE
from workers.protocol.clock import utcnow

FORM = {**HARDWARE, "tier": "ORACLE", "region": "eu-west", "experience": "", "agree": "on"}


def submit(user: User, **changes: object) -> Application:
    return applications.submit(user, {**DATA, **changes}, utcnow())


def test_an_application_waits_in_the_queue(applicant: User) -> None:
    application = submit(applicant)
    assert application.status == "submitted"
    assert applications.place_in_queue(application) == 1
    with pytest.raises(ApplicationClosed):
        submit(applicant, tier="GUARDIAN")
    assert Application.objects.get().tier == "ORACLE"


def test_approval_makes_an_operator_with_the_granted_stake(applicant: User, admin: User) -> None:
    operator = applications.approve(submit(applicant), admin, utcnow())
    assert accounts.balance(applicant) == tiers.stake_of("ORACLE")
    stakes.lock(operator, utcnow())
    assert accounts.balance(applicant) == 0
    assert accounts.stake(applicant).balance == tiers.stake_of("ORACLE")
    with pytest.raises(StakeLocked):
        stakes.lock(operator, utcnow())
    assert Stake.objects.count() == 1
    assert set(Event.objects.values_list("kind", flat=True)) >= {"application.approved", "stake.locked"}


def test_a_stake_that_the_wallet_lacks_is_refused(applicant: User, admin: User) -> None:
    operator = applications.approve(submit(applicant), admin, utcnow())
    Operator.objects.filter(pk=operator.pk).update(tier="GUARDIAN")
    with pytest.raises(InsufficientFunds):
        stakes.lock(operator, utcnow())
    assert not Stake.objects.exists()


def test_a_rejection_needs_a_reason_and_can_be_mended(applicant: User, admin: User) -> None:
    application = submit(applicant)
    with pytest.raises(ReasonMissing):
        applications.reject(application, admin, "  ", utcnow(), criterion="hardware")
    applications.reject(application, admin, "Too little memory.", utcnow(), criterion="hardware")
    assert not Operator.objects.exists()
    again = submit(applicant, tier="ALL")
    assert (again.pk, again.status, again.reason) == (application.pk, "submitted", "")


def test_two_admins_who_review_at_once_decide_once(applicant: User, admin: User) -> None:
    application = submit(applicant)
    stale = Application.objects.get(pk=application.pk)
    applications.approve(application, admin, utcnow())
    with pytest.raises(ApplicationClosed):
        applications.reject(stale, admin, "Too late.", utcnow(), criterion="hardware")
    with pytest.raises(ApplicationClosed):
        applications.approve(stale, admin, utcnow())
    assert Operator.objects.count() == 1


def test_the_form_names_what_is_wrong_at_its_field(client: Client, applicant: User) -> None:
    client.force_login(applicant)
    answer = client.post("/apply", {**FORM, "cpu_cores": "1", "gpu_type": "cuda", "gpu_memory_gb": "0"})
    assert answer.status_code == 200
    assert set(answer.context["form"].errors) == {"cpu_cores", "gpu_memory_gb"}
    assert not Application.objects.exists()
    assert client.post("/apply", FORM).status_code == 302
    assert b"Awaiting review" in client.get("/apply").content


def test_the_admin_approves_in_bulk_and_rejects_with_a_reason(client: Client, applicant: User, admin: User) -> None:
    first = submit(applicant)
    second = submit(User.objects.create_user("bert@example.org"))
    third = submit(User.objects.create_user("carl@example.org"))
    client.force_login(admin)
    url = "/admin/operators/application/"
    queue = client.get(url).content.decode()
    assert all(email in queue for email in ("anna@", "bert@", "carl@"))
    client.post(url, {"action": "approve_selected", "_selected_action": [first.pk, second.pk]})
    asked = client.post(url, {"action": "reject_selected", "_selected_action": [third.pk]})
    assert b'name="reason"' in asked.content
    assert Application.objects.get(pk=third.pk).status == "submitted"
    data = {
        "action": "reject_selected",
        "_selected_action": [third.pk],
        "reason": "Too little memory.",
        "criterion": "hardware",
    }
    assert client.post(url, data).status_code == 302
    assert list(Application.objects.order_by("pk").values_list("status", flat=True)) == [
        "approved",
        "approved",
        "rejected",
    ]
    assert "anna@" not in client.get(url).content.decode()
    assert "carl@" in client.get(f"{url}?status=rejected").content.decode()
