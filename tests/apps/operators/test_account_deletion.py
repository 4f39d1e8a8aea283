"""Leaving: nobody is left behind the account, the ledger does not notice, and every way in is shut."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import connections, transaction
from django.test import Client

from apps.core.models import Event, StoredMail, User
from apps.ledger import accounts, audit
from apps.ledger.models import Account, Transfer
from apps.ledger.money_models import Mandate
from apps.operators import account_deletion, applications, enrolment, nodes, stakes, wallets
from apps.operators.account_errors import AccountGone, AccountHasNodes, AccountIsStaff, AccountStaked
from apps.operators.authentication import make_key
from apps.operators.errors import ApplicantGone, OperatorError
from apps.operators.models import (
    ApiKey,
    Application,
    EnrolmentToken,
    Notification,
    Operator,
    Scope,
    ShardHost,
    Stake,
    Wallet,
)
from tests.apps.operators.conftest import DATA
from tests.apps.operators.test_enrolment import prepared
from workers.protocol.canonical import dumps
from workers.protocol.clock import utcnow
from workers.protocol.keys import SigningKey, b64


def bound(user: User) -> Wallet:
    key = SigningKey.generate()
    message = wallets.challenge(user, utcnow())
    signed = {"public": b64(key.public), "signature": b64(key.sign(dumps(message))), "message": message}
    return wallets.bind(user, {**signed, "label": "Anna's laptop"}, utcnow())[0]


def faults() -> dict[str, list[str]]:
    """What the audit finds, by check. Genesis is older than the keys of this network of tests."""
    found = {check.name: check.found for check in audit.run(utcnow()).checks if not check.ok}
    assert set(found) <= {"signatures"}
    return found


def codes(user: User) -> list[str]:
    return [obstacle.code for obstacle in account_deletion.obstacles(user)]


def test_the_person_is_gone_and_the_rows_of_the_ledger_stay(applicant: User, admin: User) -> None:
    now = utcnow()
    wallet = bound(applicant)
    application = applications.submit(applicant, {**DATA, "experience": "I am Anna of Bern."}, now)
    Application.objects.filter(pk=application.pk).update(probe={"cpu_name": "Anna's old one"})
    make_key(applicant, "anna-laptop", [Scope.JOBS_READ], now)
    keys = {"sign_public": "s", "seal_public": "e", "kid": "k", "joined_at": now, "left_at": now, "status": "left"}
    host = ShardHost.objects.create(
        id="host_1", user=applicant, wallet=wallet, name="annas-attic", probe={"cpu": "Anna's"}, **keys
    )
    LogEntry.objects.log_actions(admin.pk, [application], CHANGE, change_message="Anna asked", single_object=True)
    StoredMail.objects.create(to="anna@example.org", subject="Hello", body="Anna")
    before = list(Transfer.objects.values_list("pk", "amount", "debit", "credit"))
    assert before
    account_deletion.delete(applicant, now)
    row = User.objects.get(pk=applicant.pk)
    assert (row.is_active, row.name, row.has_usable_password()) == (False, "Deleted account", False)
    assert row.email is None
    assert list(Transfer.objects.values_list("pk", "amount", "debit", "credit")) == before
    assert Account.objects.filter(owner=f"user:{row.pk}", balance__gt=0).exists()
    assert Wallet.objects.get(pk=wallet.pk).label == ""
    assert ShardHost.objects.values_list("name", "probe").get() == (host.pk, {})
    kept = Application.objects.get(pk=application.pk)
    assert (kept.experience, kept.hardware, kept.probe) == ("", {}, {})
    for text in (*LogEntry.objects.values_list("object_repr", "change_message"), *Event.objects.values_list("data")):
        assert "anna" not in str(text).lower()
    assert not Notification.objects.filter(user=row).exists()
    assert not StoredMail.objects.filter(to="anna@example.org").exists()
    assert not EmailAddress.objects.filter(user=row).exists()
    assert Event.objects.get(kind="account.deleted").subject == f"user:{row.pk}"


def test_the_audit_is_clean_afterwards(applicant: User) -> None:
    bound(applicant)
    before = faults()
    account_deletion.delete(applicant, utcnow())
    assert faults() == before


def test_keys_sessions_and_second_factors_are_refused_afterwards(client: Client, applicant: User) -> None:
    client.force_login(applicant)
    text = make_key(applicant, "host", [Scope.JOBS_READ], utcnow())[1]
    TOTP.activate(applicant, generate_totp_secret())
    assert client.get("/wallet").status_code == 200
    account_deletion.delete(applicant, utcnow())
    assert client.get("/wallet").status_code == 302
    assert Client().get("/api/v1/me", headers={"Authorization": f"Bearer {text}"}).status_code == 401
    assert ApiKey.objects.get().revoked_at is not None
    assert not Authenticator.objects.exists()
    fresh = Client()
    fresh.post("/accounts/login/", {"login": "anna@example.org", "password": "long-enough-1"})
    assert fresh.get("/wallet").status_code == 302


def test_the_address_is_free_for_a_new_account(applicant: User) -> None:
    account_deletion.delete(applicant, utcnow())
    again = User.objects.create_user("anna@example.org", "long-enough-2")
    assert again.pk != applicant.pk


def test_an_open_stake_refuses_and_changes_nothing(operator: Operator) -> None:
    assert codes(operator.user) == ["account_staked"]
    with pytest.raises(AccountStaked):
        account_deletion.delete(operator.user, utcnow())
    assert User.objects.get(pk=operator.user_id).is_active
    assert Notification.objects.filter(user=operator.user).exists()


def test_money_in_the_stakes_account_refuses_whatever_the_row_says(operator: Operator) -> None:
    Stake.objects.update(status=Stake.Status.RELEASED)
    assert codes(operator.user) == ["account_staked"]


def test_nodes_have_to_be_revoked_first(operator: Operator) -> None:
    node = enrolment.enrol(prepared(operator), utcnow())
    assert "account_has_nodes" in codes(operator.user)
    nodes.revoke(node, reason="Sold.", now=utcnow())
    assert AccountHasNodes.code not in codes(operator.user)


def test_hosts_of_shards_have_to_leave_first(applicant: User) -> None:
    wallet = bound(applicant)
    keys = {"sign_public": "s", "seal_public": "e", "kid": "k"}
    host = ShardHost.objects.create(id="hst_1", user=applicant, wallet=wallet, name="shelf", joined_at=utcnow(), **keys)
    assert codes(applicant) == ["account_has_nodes"]
    ShardHost.objects.filter(pk=host.pk).update(status=ShardHost.Status.LEFT, left_at=utcnow())
    assert codes(applicant) == []


def test_mandates_of_the_account_end(applicant: User) -> None:
    now = utcnow()
    given = Mandate.objects.create(
        id=uuid4(),
        payer=accounts.wallet(applicant),
        spender="user:99",
        wallet="w",
        cap=5,
        document={},
        signature="",
        created_at=now,
        expires_at=now + timedelta(days=1),
    )
    account_deletion.delete(applicant, now)
    given.refresh_from_db()
    assert given.revoked_at == now


def test_a_wallet_of_a_deleted_account_signs_nobody_in(applicant: User) -> None:
    key = SigningKey.generate()
    message = wallets.challenge(applicant, utcnow())
    signed = {"public": b64(key.public), "signature": b64(key.sign(dumps(message))), "message": message}
    wallets.bind(applicant, {**signed, "label": ""}, utcnow())
    account_deletion.delete(applicant, utcnow())
    fresh = wallets.visitors_challenge(wallets.SIGN_IN, utcnow())
    entry = {"public": b64(key.public), "signature": b64(key.sign(dumps(fresh))), "message": fresh}
    with pytest.raises(OperatorError, match="deleted"):
        wallets.enter(entry, wallets.SIGN_IN, utcnow(), address="127.0.0.1")


def test_staff_keep_their_accounts_until_another_admin_takes_the_rights(admin: User) -> None:
    with pytest.raises(AccountIsStaff):
        account_deletion.delete(admin, utcnow())
    assert User.objects.get(pk=admin.pk).email == "ada@example.org"


def test_an_account_is_deleted_once(applicant: User) -> None:
    account_deletion.delete(applicant, utcnow())
    with pytest.raises(AccountGone):
        account_deletion.delete(applicant, utcnow())


def free(operator: Operator) -> Operator:
    """The operator without a stake, as far as its own rows say."""
    Stake.objects.filter(operator=operator).delete()
    return Operator.objects.get(pk=operator.pk)


def test_an_application_leaves_the_queue_with_its_account(applicant: User, admin: User) -> None:
    application = applications.submit(applicant, DATA, utcnow())
    stale = Application.objects.get(pk=application.pk)
    account_deletion.delete(applicant, utcnow())
    application.refresh_from_db()
    assert application.status == "draft"
    with pytest.raises(ApplicantGone):
        applications.approve(stale, admin, utcnow())
    assert not Operator.objects.exists()


def test_a_closed_accounts_application_grants_nothing(applicant: User, admin: User) -> None:
    application = applications.submit(applicant, DATA, utcnow())
    User.objects.filter(pk=applicant.pk).update(is_active=False)
    for decide in (
        lambda: applications.approve(application, admin, utcnow()),
        lambda: applications.reject(application, admin, "No.", utcnow(), criterion="other"),
    ):
        with pytest.raises(ApplicantGone):
            decide()
    assert accounts.balance(applicant) == 0
    assert not Operator.objects.exists()


def test_a_deleted_account_puts_nothing_at_stake(applicant: User) -> None:
    bound(applicant)
    account_deletion.delete(applicant, utcnow())
    with pytest.raises(AccountGone):
        stakes.add(applicant, 1, utcnow())
    assert accounts.stake(applicant).balance == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["stake", "review"])
def test_whoever_uses_an_account_while_it_is_deleted_waits_and_is_refused(
    applicant: User, admin: User, what: str
) -> None:
    bound(applicant)
    application = applications.submit(applicant, DATA, utcnow())
    asked = threading.Event()

    def use() -> str:
        asked.set()
        try:
            if what == "stake":
                stakes.add(applicant, 1, utcnow())
            else:
                applications.approve(application, admin, utcnow())
        except OperatorError as error:
            return error.code
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            User.objects.select_for_update(no_key=True).get(pk=applicant.pk)
            answer = pool.submit(use)
            asked.wait()
            time.sleep(0.5)
            User.objects.filter(pk=applicant.pk).update(is_active=False)
        assert answer.result() == {"stake": "account_gone", "review": "applicant_gone"}[what]
    assert accounts.stake(applicant).balance == 0


@pytest.mark.django_db(transaction=True)
def test_of_a_deletion_and_a_stake_at_once_one_is_refused(applicant: User, admin: User) -> None:
    application = applications.submit(applicant, DATA, utcnow())
    operator = applications.approve(application, admin, utcnow())

    def outcome(act: Callable[[], object]) -> Callable[[], str]:
        def run() -> str:
            try:
                act()
            except OperatorError as error:
                return error.code
            finally:
                connections.close_all()
            return "done"

        return run

    acts = [lambda: account_deletion.delete(applicant, utcnow()), lambda: stakes.lock(operator, utcnow())]
    with ThreadPoolExecutor(2) as pool:
        answers = [future.result() for future in [pool.submit(outcome(act)) for act in acts]]
    gone = not User.objects.get(pk=applicant.pk).is_active
    assert answers.count("done") == 1
    assert gone != Stake.objects.filter(operator=operator).exists()


@pytest.mark.django_db(transaction=True)
def test_two_deletions_at_once_are_one(applicant: User) -> None:
    def run() -> str:
        try:
            account_deletion.delete(applicant, utcnow())
        except AccountGone as error:
            return error.code
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(2) as pool:
        answers = [future.result() for future in [pool.submit(run), pool.submit(run)]]
    assert sorted(answers) == ["account_gone", "done"]
    assert Event.objects.filter(kind="account.deleted").count() == 1


def test_a_token_from_before_enrols_nothing(operator: Operator) -> None:
    token = enrolment.issue_token(operator, "fra-1", utcnow())
    free(operator)
    Account.objects.filter(owner=f"user:{operator.user_id}", kind="stake")
    assert EnrolmentToken.objects.filter(operator=operator).exists()
    account_deletion._end_access(operator.user, utcnow())
    with pytest.raises(OperatorError):
        enrolment.find_token(token, utcnow())
