"""The pages of stake and rewards, transfers and mandates: what they show to whom, and what their buttons do."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from pytest_django import Settings

from apps.core import parameters
from apps.core.models import User
from apps.ledger import accounts, faucet, rewards, slashing, staking
from apps.ledger.amounts import MESH
from apps.ledger.models import Epoch, EpochShare, Mandate, Unbonding
from apps.operators import stakes
from apps.operators.models import Operator
from tests.apps.operators.test_stakes import Signing
from workers.protocol.canonical import dumps
from workers.protocol.clock import utcnow
from workers.protocol.ids import show_uuid
from workers.protocol.keys import b64

PAGES = ["/rewards", "/rewards/live", "/transfers/new", "/mandates", "/mandates/new"]
ACTIONS = [
    "/rewards/stake",
    "/rewards/unstake",
    "/rewards/unstake/unb_x/cancel",
    "/rewards/faucet/wallet_connect",
    "/transfers/signed",
    "/mandates/signed",
    "/mandates/mdt_x/revoke",
]


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    parameters.forget_cached()
    yield
    parameters.forget_cached()


def as_(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def said(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_its_owners_and_visitors_go_to_the_login(client: Client, applicant: User, page: str) -> None:
    assert client.get(page)["Location"].startswith("/accounts/login/")
    assert as_(applicant).get(page).status_code == 200


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_needs_a_login_a_post_and_the_sites_token(client: Client, applicant: User, action: str) -> None:
    assert client.post(action)["Location"].startswith("/accounts/login/")
    assert as_(applicant).get(action).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(applicant)
    assert strict.post(action).status_code == 403


def test_empty_pages_say_what_will_be_there(applicant: User) -> None:
    client = as_(applicant)
    page = client.get("/rewards").content.decode()
    for words in ("Nothing is on its way", "No rewards yet", "Left in the faucet", "Your first wallet"):
        assert words in page
    assert "You need a wallet for this" in client.get("/transfers/new").content.decode()
    assert "No mandates yet" in client.get("/mandates").content.decode()


def test_the_rewards_page_shows_every_part(operator: Operator) -> None:
    now, owner = utcnow(), accounts.owner_of(operator.user)
    stakes.take_back(operator.user, 12 * MESH, now)
    slashing.slash(operator.user, "flt_1", 1_200, now, now)
    stakes.sweep(now)
    epoch = Epoch.objects.create(day=date(2026, 1, 2), first_height=1, last_height=2, pool=9, minted=9, at=now)
    EpochShare.objects.create(
        epoch=epoch,
        node="node_1",
        owner=owner,
        tier=2,
        uptime_ppm=990_000,
        quality_ppm=950_000,
        nodes=1,
        weight=1,
        amount=9 * MESH,
        escrowed=4 * MESH,
    )
    page = as_(operator.user).get("/rewards").content.decode()
    for words in ("4388", "flt_1", "99.0 %", "95.0 %", "Keep at stake", "Short", "Top it up by 612 MESH"):
        assert words in page


def test_the_newest_day_stands_first(operator: Operator) -> None:
    for day in (3, 5, 4):
        at = date(2026, 1, day)
        epoch = Epoch.objects.create(day=at, first_height=1, last_height=2, pool=9, minted=9, at=utcnow())
        values = {"tier": 1, "uptime_ppm": 1, "quality_ppm": 1, "nodes": 1, "weight": 1, "amount": 9, "escrowed": 0}
        owner = accounts.owner_of(operator.user)
        EpochShare.objects.create(epoch=epoch, node="node_1", owner=owner, **values)
    shown = as_(operator.user).get("/rewards").context["shares"]
    assert [share["day"].day for share in shown] == [5, 4, 3]


def test_stake_is_locked_by_a_button_once(operator: Operator, admin: User) -> None:
    faucet.treasury_grant(operator.user, 10 * MESH, admin, "for tests", utcnow())
    client, request = as_(operator.user), uuid4()
    for _ in range(2):
        answer = client.post("/rewards/stake", {"amount": "1.5", "request": request})
        assert (answer["Location"], said(answer)[-1]) == ("/rewards", "1.5 MESH are locked.")
    assert staking.bonded(operator.user) == 5_000 * MESH + 3 * MESH // 2
    refused = client.post("/rewards/stake", {"amount": "100", "request": uuid4()})
    assert said(refused)[-1] == "The account does not hold that much."
    for amount, words in (("x", "An amount is a number"), ("0", "An amount that moves is more than nothing.")):
        answer = client.post("/rewards/stake", {"amount": amount, "request": uuid4()})
        assert said(answer)[-1].startswith(words)


def test_taking_back_is_confirmed_and_can_be_undone(operator: Operator) -> None:
    client, form = as_(operator.user), {"amount": "2", "request": str(uuid4())}
    asked = client.post("/rewards/unstake", form)
    assert b"It is free after" in asked.content
    assert "1\xa0hour" in asked.content.decode()
    assert not Unbonding.objects.exists()
    for _ in range(2):
        client.post("/rewards/unstake", {**form, "sure": "1"})
    row = Unbonding.objects.get()
    assert row.amount == 2 * MESH
    client.post(f"/rewards/unstake/{show_uuid('unb', row.pk)}/cancel")
    row.refresh_from_db()
    assert row.status == "cancelled"
    assert client.post("/rewards/unstake/unb_x/cancel").status_code == 404
    too_much = client.post("/rewards/unstake", {"amount": "9000", "request": uuid4(), "sure": "1"})
    assert said(too_much)[-1].startswith("You have less than that at stake")


def test_somebody_elses_stake_is_not_kept(operator: Operator, other: Operator) -> None:
    row = stakes.take_back(operator.user, 2 * MESH, utcnow())
    answer = as_(other.user).post(f"/rewards/unstake/{show_uuid('unb', row.pk)}/cancel")
    assert said(answer) == ["You have no stake on its way out under that id."]
    row.refresh_from_db()
    assert row.status == "waiting"


def test_the_faucet_is_shown_and_claimed_where_earned(applicant: User, settings: Settings) -> None:
    wallet = Signing(applicant)
    page = wallet.client.get("/rewards").content.decode()
    assert "10000</span>" in page or "10000" in page
    answer = wallet.client.post("/rewards/faucet/wallet_connect")
    assert said(answer) == ["10 MESH of the faucet are yours."]
    assert "9990" in wallet.client.get("/rewards").content.decode()
    for reward, words in (
        ("wallet_connect", "This reward is given once"),
        ("shard_hosting", "You host no shard"),
        ("uptime_bonus", "No node of yours was online for 24 hours"),
        ("free_lunch", "The faucet has no such reward."),
    ):
        assert said(wallet.client.post(f"/rewards/faucet/{reward}"))[-1].startswith(words)
    assert accounts.balance(applicant) == 10 * MESH
    settings.IS_TESTNET = False
    assert b"Left in the faucet" not in wallet.client.get("/rewards").content
    assert said(wallet.client.post("/rewards/faucet/shard_hosting"))[-1].startswith("This network has no faucet")


def test_a_transfer_is_read_signed_and_sent(operator: Operator, other: Operator, admin: User) -> None:
    faucet.treasury_grant(operator.user, 10 * MESH, admin, "for tests", utcnow())
    wallet, to = Signing(operator.user), accounts.wallet(other.user).address
    assert to in wallet.client.get(f"/transfers/new?to={to}").content.decode()
    asked = {"wallet": wallet.address, "to": to, "amount": "2.50", "memo": 'it\'s "lunch"'}
    page = wallet.client.post("/transfers/new", asked)
    assert page.context["command"] == f"mesh wallet send {to} 2.5 --memo 'it'\\''s \"lunch\"'"
    order = json.loads(page.context["document"])
    assert (order["amount"], order["nonce"], order["to"]) == ("2.5", 1, to)
    signed = {"document": json.dumps(order), "signature": b64(wallet.key.sign(dumps(order)))}
    sent = wallet.client.post("/transfers/signed", signed)
    assert sent["Location"].startswith("/ledger/transfers/txn_")
    assert accounts.balance(other.user) == 5 * MESH // 2
    forged = wallet.client.post("/transfers/signed", {**signed, "signature": "x"})
    assert forged["Location"] == "/transfers/new"
    assert said(forged)[-1]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("to", "nobody", "There is nobody with that wallet"),
        ("amount", "-1", "more than nothing"),
        ("amount", "0.000000001", "eight decimals"),
        ("wallet", "0" * 64, "Select a valid choice"),
    ],
)
def test_a_faulty_transfer_is_refused_at_its_field(operator: Operator, field: str, value: str, words: str) -> None:
    wallet = Signing(operator.user)
    good = {"wallet": wallet.address, "to": accounts.wallet(operator.user).address, "amount": "1", "memo": ""}
    page = wallet.client.post("/transfers/new", good | {field: value})
    assert words in str(page.context["form"].errors[field])


def test_a_mandate_is_read_signed_listed_and_revoked(operator: Operator, other: Operator) -> None:
    wallet = Signing(operator.user)
    spender = accounts.wallet(other.user).address
    page = wallet.client.post("/mandates/new", {"wallet": wallet.address, "spender": spender, "cap": "5", "days": "30"})
    order = json.loads(page.context["document"])
    signed = {"document": json.dumps(order), "signature": b64(wallet.key.sign(dumps(order)))}
    assert wallet.client.post("/mandates/signed", signed)["Location"] == "/mandates"
    made = Mandate.objects.get()
    assert timedelta(days=30) <= made.expires_at - utcnow() < timedelta(days=30, minutes=16)
    name = show_uuid("mdt", made.pk)
    assert name in wallet.client.get("/mandates").content.decode()
    theirs = as_(other.user)
    assert "Revoke" not in theirs.get("/mandates").content.decode()
    assert said(theirs.post(f"/mandates/{name}/revoke")) == ["There is no such mandate, or it is not given to you."]
    wallet.client.post(f"/mandates/{name}/revoke")
    made.refresh_from_db()
    assert made.revoked_at is not None
    assert "Revoked" in wallet.client.get("/mandates").content.decode()


def test_pages_cost_the_same_however_much_there_is(operator: Operator, django_assert_max_num_queries: Any) -> None:
    client, costs, now = as_(operator.user), [], utcnow()
    client.get("/rewards")
    for _ in range(2):
        for _ in range(4):
            stakes.take_back(operator.user, MESH, now)
        with django_assert_max_num_queries(60) as captured:
            client.get("/rewards")
        costs.append(len(captured))
    assert costs[0] == costs[1]


def test_the_days_over_are_settled_by_the_clock(operator: Operator) -> None:
    assert [epoch.minted for epoch in rewards.close_due(utcnow())][:3] == [0, 0, 0]


@pytest.mark.parametrize("rows", ["unbonding", "slash", "mandate", "epoch", "epochshare"])
def test_staff_look_and_do_not_touch(operator: Operator, admin: User, rows: str) -> None:
    now = utcnow()
    stakes.take_back(operator.user, MESH, now)
    slashing.slash(operator.user, "flt_1", 1_000, now, now)
    rewards.close_due(now)
    assert as_(admin).get(f"/admin/ledger/{rows}/").status_code == 200
    assert as_(admin).get(f"/admin/ledger/{rows}/add/").status_code == 403
    assert as_(operator.user).get(f"/admin/ledger/{rows}/").status_code == 302
