"""An operator's stake: locked, topped up, taken back, too small, and taken for a fault."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from pytest_django import Settings

from apps.core import parameters
from apps.core.errors import MeshError
from apps.core.models import User
from apps.ledger import accounts, amounts, audit, faucet, slashing, staking
from apps.ledger.amounts import MESH
from apps.ledger.models import Unbonding
from apps.operators import enrolment, nodes, stakes, standing
from apps.operators.models import Notification, Operator, ShardHost, Stake, Wallet
from tests.apps.operators.test_enrolment import prepared
from workers.protocol.canonical import dumps
from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.ids import new_id
from workers.protocol.keys import SigningKey, b64, fingerprint

HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    parameters.forget_cached()
    yield
    parameters.forget_cached()


@pytest.fixture
def now() -> datetime:
    return utcnow()


@pytest.fixture
def rich(operator: Operator, admin: User, now: datetime) -> Operator:
    """The operator, whose wallet holds another 5,000 MESH."""
    faucet.treasury_grant(operator.user, 5_000 * MESH, admin, "for tests", now)
    return operator


def row(operator: Operator) -> Stake:
    return Stake.objects.filter(operator=operator).latest("locked_at")


def code(act: Any, *args: Any) -> str:
    with pytest.raises(MeshError) as refused:
        act(*args)
    return refused.value.code


def slash(operator: Operator, bp: int, now: datetime, fault: str = "flt_1") -> None:
    slashing.slash(operator.user, fault, bp, now, now)


def test_a_locked_stake_is_topped_up_and_taken_back_to_the_tiers(rich: Operator, now: datetime) -> None:
    enrolment.enrol(prepared(rich), utcnow())
    stakes.add(rich.user, 1_000 * MESH, now)
    assert (row(rich).amount, row(rich).status) == (6_000 * MESH, "locked")
    assert code(stakes.take_back, rich.user, 1_001 * MESH, now) == "stake_below_tier"
    assert code(stakes.take_back, rich.user, 6_000 * MESH, now) == "nodes_enrolled"
    assert code(stakes.take_back, rich.user, 6_001 * MESH, now) == "stake_exceeded"
    stakes.take_back(rich.user, 1_000 * MESH, now)
    assert row(rich).amount == 5_000 * MESH
    assert staking.bonded(rich.user) == 5_000 * MESH


def test_one_click_twice_tops_up_once(rich: Operator, now: datetime) -> None:
    request = uuid4()
    for _ in range(2):
        stakes.add(rich.user, MESH, now, request=request)
        stakes.take_back(rich.user, MESH, now, request=request)
    assert staking.bonded(rich.user) == 5_000 * MESH
    assert Unbonding.objects.count() == 1


def test_whoever_leaves_revokes_the_nodes_first_and_is_paid_and_told(operator: Operator, now: datetime) -> None:
    node = enrolment.enrol(prepared(operator), utcnow())
    assert code(stakes.take_back, operator.user, 5_000 * MESH, now) == "nodes_enrolled"
    nodes.revoke(node, reason="Leaving.", now=now)
    stakes.take_back(operator.user, 5_000 * MESH, now)
    assert (row(operator).status, operator.has_stake) == ("released", False)
    assert stakes.release_due(now + HOUR - timedelta(seconds=1)) == []
    assert len(stakes.release_due(now + HOUR)) == 1
    assert accounts.balance(operator.user) == 5_000 * MESH
    mail = Notification.objects.get(kind="unstake_ready")
    assert (mail.user, "5000" in mail.body) == (operator.user, True)
    assert stakes.lock(operator, now + HOUR).amount == 5_000 * MESH
    # This network's genesis is older than its keys.
    assert {check.name for check in audit.run(now).checks if not check.ok} <= {"signatures"}


def test_stake_that_stays_after_all_stands_behind_the_operator_again(operator: Operator, now: datetime) -> None:
    leaving = stakes.take_back(operator.user, 5_000 * MESH, now)
    assert not operator.has_stake
    stakes.cancel(operator.user, leaving.pk, now)
    assert (operator.has_stake, row(operator).amount) == (True, 5_000 * MESH)


def test_whoever_is_no_operator_can_have_a_stake_too(applicant: User, admin: User, now: datetime) -> None:
    faucet.treasury_grant(applicant, 20 * MESH, admin, "for tests", now)
    stakes.add(applicant, 15 * MESH, now)
    stakes.take_back(applicant, 5 * MESH, now)
    assert staking.bonded(applicant) == 10 * MESH


def test_a_host_of_shards_keeps_its_stake_while_it_hosts(applicant: User, admin: User, now: datetime) -> None:
    faucet.treasury_grant(applicant, 20 * MESH, admin, "for tests", now)
    stakes.add(applicant, 12 * MESH, now)
    wallet = Signing(applicant).wallet
    host = ShardHost.objects.create(
        id="hst_1", user=applicant, wallet=wallet, name="h", sign_public="s", seal_public="e", kid="k", joined_at=now
    )
    assert code(stakes.take_back, applicant, 3 * MESH, now) == "stake_below_tier"
    assert code(stakes.take_back, applicant, 12 * MESH, now) == "nodes_enrolled"
    stakes.take_back(applicant, 2 * MESH, now)
    ShardHost.objects.filter(pk=host.pk).update(status="left", left_at=now)
    stakes.take_back(applicant, 10 * MESH, now)
    assert staking.bonded(applicant) == 0


def test_a_slash_within_a_tenth_changes_nothing_but_the_amount(operator: Operator, now: datetime) -> None:
    slash(operator, 1_000, now)
    assert stakes.sweep(now) == 1
    assert (row(operator).status, row(operator).amount) == ("locked", 4_500 * MESH)
    assert stakes.sweep(now) == 0


def test_a_short_stake_has_a_week_then_suspends_until_it_is_topped_up(rich: Operator, now: datetime) -> None:
    slash(rich, 1_001, now)
    stakes.sweep(now)
    short = row(rich)
    assert (short.status, short.short_until) == ("short", now + WEEK)
    assert "Less than 90 % of tier ORACLE's stake is left: 4499.5 MESH." in short.reason
    assert "Top it up by 500.5 MESH" in short.next_step
    assert rich.has_stake
    assert Notification.objects.filter(kind="stake_short").count() == 1
    assert stakes.sweep(now + WEEK - timedelta(seconds=1)) == 0
    assert stakes.sweep(now + WEEK) == 1
    rich.refresh_from_db()
    assert (row(rich).status, rich.status, rich.has_stake) == ("overdue", "suspended", False)
    assert rich.reason == row(rich).reason
    assert code(enrolment.issue_token, rich, "fra-1", now) == "not_approved"
    slash(rich, 1_000, now, "flt_2")
    stakes.sweep(now + WEEK)
    stakes.add(rich.user, 100 * MESH, now + WEEK)
    rich.refresh_from_db()
    assert (row(rich).status, rich.reason) == ("overdue", row(rich).reason)
    stakes.add(rich.user, 1_000 * MESH, now + WEEK)
    rich.refresh_from_db()
    assert (row(rich).status, row(rich).reason, rich.status, rich.reason) == ("locked", "", "active", "")


def test_an_admins_suspension_stays_when_the_stake_is_topped_up(rich: Operator, admin: User, now: datetime) -> None:
    standing.suspend(rich, actor=admin, reason="Something else.", now=now)
    slash(rich, 5_000, now)
    stakes.sweep(now)
    stakes.sweep(now + WEEK)
    stakes.add(rich.user, 2_500 * MESH, now + WEEK)
    rich.refresh_from_db()
    assert (row(rich).status, rich.status, rich.reason) == ("locked", "suspended", "Something else.")


def test_a_raised_tier_makes_stakes_short(operator: Operator, admin: User, now: datetime) -> None:
    parameters.set_parameter("stake.oracle", 6_000 * MESH, actor=admin, reason="A vote.", now=now)
    parameters.forget_cached()
    stakes.sweep(now)
    assert row(operator).status == "short"


def test_a_stake_slashed_to_nothing_is_gone(operator: Operator, now: datetime) -> None:
    slash(operator, 10_000, now)
    stakes.sweep(now)
    assert (row(operator).status, operator.has_stake) == ("released", False)
    assert amounts.show(accounts.escrow(f"slash:{accounts.owner_of(operator.user)}").balance) == "5000"


def test_a_stake_slashed_to_nothing_suspends_whoever_has_nodes_until_it_is_locked_again(
    rich: Operator, now: datetime
) -> None:
    enrolment.enrol(prepared(rich), utcnow())
    slash(rich, 10_000, now)
    assert stakes.sweep(now) == 1
    rich.refresh_from_db()
    gone = row(rich)
    assert (gone.status, rich.has_stake, rich.status, rich.reason) == ("released", False, "suspended", gone.reason)
    assert "Nothing of tier ORACLE's stake is left." in gone.reason
    assert Notification.objects.filter(kind="stake_short", user=rich.user).count() == 1
    assert stakes.sweep(now) == 0
    stakes.lock(rich, now + HOUR)
    rich.refresh_from_db()
    assert (row(rich).status, rich.status, rich.reason) == ("locked", "active", "")


def test_a_stake_slashed_to_nothing_leaves_an_admins_suspension(rich: Operator, admin: User, now: datetime) -> None:
    enrolment.enrol(prepared(rich), utcnow())
    standing.suspend(rich, actor=admin, reason="Something else.", now=now)
    slash(rich, 10_000, now)
    stakes.sweep(now)
    stakes.lock(rich, now + HOUR)
    rich.refresh_from_db()
    assert (row(rich).status, rich.status, rich.reason) == ("locked", "suspended", "Something else.")


def test_whoever_took_an_overdue_stake_back_may_come_back(rich: Operator, now: datetime) -> None:
    node = enrolment.enrol(prepared(rich), utcnow())
    slash(rich, 2_000, now)
    for at in (now, now + WEEK):
        stakes.sweep(at)
    rich.refresh_from_db()
    assert (row(rich).status, rich.status) == ("overdue", "suspended")
    nodes.revoke(node, reason="Leaving.", now=now + WEEK)
    stakes.take_back(rich.user, 4_000 * MESH, now + WEEK)
    rich.refresh_from_db()
    assert (row(rich).status, rich.status, rich.reason, rich.has_stake) == ("released", "active", "", False)
    assert code(enrolment.issue_token, rich, "fra-1", now) == "stake_missing"
    stakes.lock(rich, now + WEEK + HOUR)
    rich.refresh_from_db()
    assert (row(rich).status, rich.status) == ("locked", "active")


def test_a_mainnet_keeps_stake_for_a_week(operator: Operator, now: datetime, settings: Settings) -> None:
    settings.IS_TESTNET = False
    assert stakes.take_back(operator.user, MESH, now).release_at == now + WEEK


class Signing:
    """A client of the API with a wallet."""

    def __init__(self, user: User) -> None:
        self.client, self.key = Client(), SigningKey.generate()
        self.client.force_login(user)
        self.address = fingerprint(self.key.public)
        self.wallet = Wallet.objects.create(
            id=new_id("wal", utcnow()),
            user=user,
            address=self.address,
            public=b64(self.key.public),
            created_at=utcnow(),
        )

    def order(self, purpose: str, **fields: Any) -> dict[str, Any]:
        said = self.client.get(f"/api/v1/wallets/{self.address}/nonce").json()
        deadline = unix_ms(utcnow()) + 60_000
        return {**said, "purpose": purpose, "deadline": deadline, "id": f"o-{said['nonce']}", **fields}

    def post(self, path: str, document: Any) -> tuple[int, dict[str, Any]]:
        body = {"document": document, "signature": b64(self.key.sign(dumps(document)))}
        answer = self.client.post(path, body, content_type="application/json")
        return answer.status_code, answer.json()


def test_a_wallet_orders_stake_and_takes_it_back_over_the_api(rich: Operator) -> None:
    wallet = Signing(rich.user)
    asked = wallet.order("stake", amount="2.5")
    status, body = wallet.post("/api/v1/stakes", asked)
    assert (status, body["amount"], body["release_at"]) == (201, "2.5", None)
    assert wallet.post("/api/v1/stakes", asked)[1]["id"] == body["id"]
    status, begun = wallet.post("/api/v1/stakes", wallet.order("unstake", amount="1"))
    assert status == 201
    shown = wallet.client.get("/api/v1/stakes").json()
    assert (shown["bonded"], [row["amount"] for row in shown["leaving"]]) == ("5001.5", ["1"])
    for purpose, amount in (("stake", "01"), ("stake", " 1"), ("unstake", "1 ")):
        assert wallet.post("/api/v1/stakes", wallet.order(purpose, amount=amount))[1]["code"] == "amount_malformed"
    assert wallet.post("/api/v1/stakes", wallet.order("unstake", amount="9000"))[1]["code"] == "stake_exceeded"
    assert wallet.post("/api/v1/stakes", wallet.order("mandate", amount="1"))[1]["code"] == "wrong_purpose"
    assert wallet.post("/api/v1/stakes", [1])[1]["code"] == "order_malformed"
    kept = wallet.client.post(f"/api/v1/stakes/{begun['id']}/cancel")
    assert (kept.status_code, kept.json()["amount"]) == (200, "1")
    assert wallet.client.post("/api/v1/stakes/unb_x/cancel").json()["code"] == "unbonding_unknown"
    assert row(rich).amount == 5_002 * MESH + MESH // 2
    assert wallet.post("/api/v1/stakes", wallet.order("unstake", amount="0.5"))[0] == 201
    [released] = stakes.release_due(utcnow() + 2 * HOUR)
    assert released.authorisation["document"]["purpose"] == "unstake"
    assert [check for check in audit.run(utcnow()).checks if not check.ok and check.name != "signatures"] == []


def test_transfers_go_over_the_api_with_their_codes(rich: Operator, other: Operator) -> None:
    wallet, theirs = Signing(rich.user), Signing(other.user)
    asked = wallet.order("transfer", to=theirs.address, amount="1.5", memo="thanks")
    assert [wallet.post("/api/v1/transfers", asked)[0] for _ in range(2)] == [201, 200]
    status, problem = wallet.post("/api/v1/transfers", {**asked, "amount": "1.6"})
    assert (status, problem["code"]) == (409, "exists_with_different_amount")
    assert theirs.post("/api/v1/transfers", asked)[1]["code"] == "foreign_account"
    assert accounts.balance(other.user) == 3 * MESH // 2
    refused = Client().post("/api/v1/transfers", {}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")


def test_mandates_are_given_listed_and_revoked_over_the_api(rich: Operator, other: Operator) -> None:
    wallet, spender = Signing(rich.user), Signing(other.user)
    expires = unix_ms(utcnow()) + 86_400_000
    asked = wallet.order("mandate", spender=spender.address, cap="3", expires=expires)
    status, made = wallet.post("/api/v1/mandates", asked)
    assert (status, made["cap"], made["used"]) == (201, "3", "0")
    for client in (wallet.client, spender.client):
        assert [m["id"] for m in client.get("/api/v1/mandates").json()] == [made["id"]]
    path = f"/api/v1/mandates/{made['id']}/revoke"
    assert spender.client.post(path).json()["code"] == "mandate_unknown"
    assert wallet.client.post(path).json()["revoked_at"]


def test_looking_after_stakes_costs_the_same_however_many_there_are(
    operator: Operator, other: Operator, now: datetime, django_assert_num_queries: Any
) -> None:
    stakes.take_back(other.user, MESH, now)
    stakes.sweep(now)
    with django_assert_num_queries(2):
        assert stakes.sweep(now) == 0
    bonded = Stake.objects.annotate(units=stakes.bonded_of("operator__user_id"))
    assert {stake.operator_id: stake.units for stake in bonded} == {
        who.pk: staking.bonded(who.user) for who in (operator, other)
    }
