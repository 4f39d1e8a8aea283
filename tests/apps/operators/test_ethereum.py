"""Ethereum addresses: what is signed by whom, once; three nodes each at most; a signature's form says nothing."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount

from apps.core.models import User
from apps.ledger import accounts
from apps.operators import bans, challenges, enrolment, ethereum, nodes, wallets
from apps.operators import wallet_errors as errors
from apps.operators.account_errors import AccountGone
from apps.operators.errors import AccountBanned, AddressBanned
from apps.operators.models import EthereumAddress, Node, NodeBinding, Operator, Wallet
from tests.apps.ledger.waits import until_somebody_waits_for_me
from tests.apps.operators.conftest import sign_in
from tests.apps.operators.test_enrolment import prepared
from tests.apps.operators.test_wallet_removal import proof as proven
from tests.apps.operators.test_wallets import TEN, at_once
from workers.protocol.clock import utcnow
from workers.protocol.keys import SigningKey

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HOME = "127.0.0.1"


@pytest.fixture(autouse=True)
def forgotten(platform_redis: object) -> None:
    """Nothing is counted or challenged yet."""


@pytest.fixture
def key() -> LocalAccount:
    return Account.create()


@pytest.fixture
def node(operator: Operator) -> Node:
    return enrolment.enrol(prepared(operator), utcnow())


def signature(key: LocalAccount, typed: dict[str, Any], *, high: bool = False) -> str:
    made = key.sign_message(encode_typed_data(full_message=typed))
    if not high:
        return str(made.signature.to_0x_hex())
    return "0x" + (made.r.to_bytes(32, "big") + (ORDER - made.s).to_bytes(32, "big") + bytes([55 - made.v])).hex()


def asked(key: LocalAccount) -> dict[str, Any]:
    return ethereum.sign_in_challenge(key.address, utcnow())


def enter(typed: dict[str, Any], signed: str) -> Any:
    return ethereum.enter(typed["message"]["nonce"], signed, utcnow(), source=HOME)


def bind(user: User, node: Node, key: LocalAccount, **how: Any) -> NodeBinding:
    typed = ethereum.binding_challenge(user, node, key.address, utcnow())
    return ethereum.bind_node(user, node, typed["message"]["nonce"], signature(key, typed, **how), utcnow())


def test_what_is_signed_names_address_node_nonce_deadline_network_and_chain(node: Node, key: LocalAccount) -> None:
    typed = ethereum.binding_challenge(node.operator.user, node, key.address, utcnow())
    assert typed["primaryType"] == "NodeBinding"
    assert typed["domain"] == {"name": "meshwork-testnet", "version": "1", "chainId": 3281}
    assert set(typed["message"]) == {"ethAddress", "node", "nonce", "deadline"}
    assert (typed["message"]["ethAddress"], typed["message"]["node"]) == (key.address.lower(), node.pk)


def test_a_stranger_with_an_ethereum_wallet_is_in_and_has_ten_mesh(client: Client, key: LocalAccount) -> None:
    path = "/api/v1/auth/ethereum/"
    typed = client.post(f"{path}challenge", {"address": key.address}, "application/json").json()["typed_data"]
    body = {"nonce": typed["message"]["nonce"], "signature": signature(key, typed)}
    answer = client.post(f"{path}session", body, "application/json").json()
    assert answer == {"made": True, "claimed": "10", "next": "/wallet/welcome"}
    user = EthereumAddress.objects.get(pk=key.address.lower()).user
    assert (user.email, accounts.balance(user)) == (None, TEN)
    assert "10 MESH are in your wallet" in client.get("/wallet/welcome").content.decode()
    claim = client.post("/rewards/faucet/uptime_bonus", follow=True).content.decode()
    assert "No node of yours was online for 24 hours" in claim
    again = client.post(f"{path}session", body, "application/json").json()
    assert again["code"] == "challenge_used"
    typed = asked(key)
    assert not enter(typed, signature(key, typed)).made
    assert accounts.balance(user) == TEN


def test_a_high_s_signature_recovers_too_and_is_no_second_one(key: LocalAccount) -> None:
    typed = asked(key)
    low, high = signature(key, typed), signature(key, typed, high=True)
    assert low != high
    assert ethereum.recovered(typed, low) == ethereum.recovered(typed, high) == key.address.lower()
    assert enter(typed, high).made
    with pytest.raises(errors.ChallengeUsed):
        enter(typed, low)


def changed(typed: dict[str, Any], part: str, **values: Any) -> dict[str, Any]:
    return {**typed, part: {**typed[part], **values}}


FORGED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "another chain": lambda typed: changed(typed, "domain", chainId=1),
    "another network": lambda typed: changed(typed, "domain", name="meshwork-mainnet"),
    "another site": lambda typed: changed(typed, "message", site="https://evil.example"),
    "another nonce": lambda typed: changed(typed, "message", nonce="0" * 32),
    "a longer life": lambda typed: changed(typed, "message", deadline=typed["message"]["deadline"] + 1),
    "another address": lambda typed: changed(typed, "message", ethAddress="0x" + "11" * 20),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_signature_over_anything_else_is_refused_and_leaves_the_challenge_good(case: str, key: LocalAccount) -> None:
    typed = asked(key)
    with pytest.raises(errors.SignatureWrong):
        enter(typed, signature(key, FORGED[case](typed)))
    assert not EthereumAddress.objects.exists()
    assert enter(typed, signature(key, typed)).made


@pytest.mark.parametrize(
    "text", ["", "0x", "no hex", "0x" + "00" * 65, "0x" + "ff" * 65, "0x" + "00" * 64 + "1b", "ü" * 130]
)
def test_what_is_no_signature_is_said_to_be_none(text: str, key: LocalAccount) -> None:
    with pytest.raises(errors.ProofMalformed):
        enter(asked(key), text)


def test_a_signature_of_somebody_else_is_refused(key: LocalAccount) -> None:
    typed = asked(key)
    with pytest.raises(errors.SignatureWrong):
        enter(typed, signature(Account.create(), typed))


@pytest.mark.parametrize("address", ["", "0x12", "11" * 20, "0X" + "11" * 20, "0x" + "gg" * 20, None, 7])
def test_what_is_no_address_gets_no_challenge(address: object) -> None:
    with pytest.raises(errors.AddressMalformed):
        ethereum.sign_in_challenge(address, utcnow())


def test_challenges_expire_are_lost_and_serve_their_purpose_only(node: Node, key: LocalAccount) -> None:
    typed, user = asked(key), node.operator.user
    signed, nonce = signature(key, typed), typed["message"]["nonce"]
    with pytest.raises(errors.ProofWrongPurpose):
        ethereum.bind_node(user, node, nonce, signed, utcnow())
    with pytest.raises(errors.ChallengeExpired):
        ethereum.enter(nonce, signed, utcnow() + timedelta(minutes=11), source=HOME)
    binding = ethereum.binding_challenge(user, node, key.address, utcnow())
    with pytest.raises(errors.ProofWrongPurpose):
        enter(binding, signature(key, binding))
    elsewhere = {"net": "meshwork-mainnet", "chain": 3281, "purpose": ethereum.SIGN_IN, "site": "x"}
    kept = challenges.issue({**elsewhere, "address": key.address.lower()}, utcnow())
    with pytest.raises(errors.ProofWrongNetwork):
        enter(ethereum.typed_data(kept), signature(key, ethereum.typed_data(kept)))
    cache.clear()
    with pytest.raises(errors.ChallengeUnknown):
        enter(typed, signed)
    assert not EthereumAddress.objects.exists()


def test_a_node_is_bound_to_an_address_which_then_opens_its_owners_account(node: Node, key: LocalAccount) -> None:
    user = node.operator.user
    assert bind(user, node, key, high=True).address_id == key.address.lower()
    typed = asked(key)
    entry = enter(typed, signature(key, typed))
    assert (entry.user, entry.made) == (user, False)
    other = Account.create()
    bind(user, node, other)
    assert NodeBinding.objects.get().address_id == other.address.lower()
    assert ethereum.unbind_node(user, node, utcnow())
    assert not ethereum.unbind_node(user, node, utcnow())


def test_an_address_has_three_living_nodes_at_most(operator: Operator, key: LocalAccount) -> None:
    made = [enrolment.enrol(prepared(operator, f"n{n}"), utcnow()) for n in range(4)]
    for node in made[:3]:
        bind(operator.user, node, key)
    bind(operator.user, made[0], key)
    with pytest.raises(errors.TooManyBindings):
        bind(operator.user, made[3], key)
    nodes.revoke(made[0], reason="Sold.", now=utcnow())
    assert bind(operator.user, made[3], key).node == made[3]


@pytest.mark.django_db(transaction=True)
def test_five_nodes_bound_at_once_leave_three(operator: Operator, key: LocalAccount) -> None:
    made = [enrolment.enrol(prepared(operator, f"n{n}"), utcnow()) for n in range(5)]
    typed = [ethereum.binding_challenge(operator.user, node, key.address, utcnow()) for node in made]
    signed = [signature(key, one) for one in typed]

    def attempt(n: int) -> str:
        try:
            ethereum.bind_node(operator.user, made[n], typed[n]["message"]["nonce"], signed[n], utcnow())
        except errors.TooManyBindings as error:
            return error.code
        return "bound"

    answers = at_once([lambda n=n: attempt(n) for n in range(5)])  # type: ignore[misc]
    assert sorted(answers) == ["bound"] * 3 + ["too_many_bindings"] * 2
    assert NodeBinding.objects.count() == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["a node to an address", "a wallet"])
def test_binding_waits_for_the_accounts_deletion_and_is_refused_after_it(
    node: Node, key: LocalAccount, what: str
) -> None:
    owner = node.operator.user
    wallet = SigningKey.generate()
    typed = ethereum.binding_challenge(owner, node, key.address, utcnow())
    signed = signature(key, typed)
    proof = proven(wallet, wallets.challenge(owner, utcnow()))

    def act() -> str:
        try:
            if what == "a wallet":
                wallets.bind(owner, proof, utcnow())
            else:
                ethereum.bind_node(owner, node, typed["message"]["nonce"], signed, utcnow())
        except AccountGone as gone:
            return gone.code
        finally:
            connection.close()
        return "bound"

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert User.objects.locked(owner.pk)
            answer = pool.submit(act)
            until_somebody_waits_for_me()
            # What the deletion does, which nobody else has seen yet.
            User.objects.filter(pk=owner.pk).update(is_active=False)
        assert answer.result(timeout=20) == "account_gone"
    assert not EthereumAddress.objects.exists()
    assert not Wallet.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_one_signature_sent_many_times_at_once_serves_once(key: LocalAccount) -> None:
    typed = asked(key)
    signed = [signature(key, typed, high=bool(n % 2)) for n in range(6)]
    answers = at_once([lambda one=one: enter(typed, one) for one in signed])  # type: ignore[misc]
    assert sorted(a for a in answers if isinstance(a, str)) == ["challenge_used"] * 5
    assert EthereumAddress.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_nodes_that_are_enrolled_and_bound_at_once_leave_the_address_its_three(
    operator: Operator, key: LocalAccount
) -> None:
    bound = [enrolment.enrol(prepared(operator, f"n{n}"), utcnow()) for n in range(3)]
    for node in bound:
        bind(operator.user, node, key)
    ready, gone = [prepared(operator, f"late{n}") for n in range(3)], Event()

    def attempt(n: int) -> str:
        if n == 3:
            nodes.revoke(bound[0], reason="Sold.", now=utcnow())
            gone.set()
            return "revoked"
        late = enrolment.enrol(ready[n], utcnow())
        # A binding names its node: one that its owner enrols beside it belongs to no address.
        assert not NodeBinding.objects.filter(node=late).exists()
        while True:
            last = gone.is_set()
            try:
                bind(operator.user, late, key)
            except errors.TooManyBindings as error:
                if last:
                    return error.code
            else:
                return "bound"

    answers = at_once([lambda n=n: attempt(n) for n in range(4)])  # type: ignore[misc]
    assert sorted(answers) == ["bound", "revoked", "too_many_bindings", "too_many_bindings"]
    living = NodeBinding.objects.exclude(node__status="revoked")
    assert living.filter(address_id=key.address.lower()).count() == 3
    assert operator.nodes.not_revoked().count() == 5


def test_nobody_binds_to_a_node_or_with_an_address_or_a_challenge_of_others(
    node: Node, other: Operator, key: LocalAccount
) -> None:
    mine, theirs = enrolment.enrol(prepared(other), utcnow()), node.operator.user
    with pytest.raises(errors.NodeNotOwn):
        bind(other.user, node, key)
    with pytest.raises(errors.NodeNotOwn):
        ethereum.unbind_node(other.user, node, utcnow())
    typed = ethereum.binding_challenge(theirs, node, key.address, utcnow())
    signed, nonce = signature(key, typed), typed["message"]["nonce"]
    with pytest.raises(errors.ProofForeign):
        ethereum.bind_node(other.user, mine, nonce, signed, utcnow())
    second = enrolment.enrol(prepared(node.operator, "fra-2"), utcnow())
    waiting = ethereum.binding_challenge(other.user, mine, key.address, utcnow())
    ethereum.bind_node(theirs, node, nonce, signed, utcnow())
    with pytest.raises(errors.AddressInUse):
        bind(other.user, mine, key)
    with pytest.raises(errors.AddressInUse):
        ethereum.bind_node(other.user, mine, waiting["message"]["nonce"], signature(key, waiting), utcnow())
    typed = ethereum.binding_challenge(theirs, node, key.address, utcnow())
    with pytest.raises(errors.ProofForeign):
        ethereum.bind_node(theirs, second, typed["message"]["nonce"], signature(key, typed), utcnow())
    assert [row.node for row in NodeBinding.objects.all()] == [node]


def test_bans_of_an_address_hold_and_reach_its_account(node: Node, admin: User, key: LocalAccount) -> None:
    order = bans.Order("Many nodes of one.", "Event 7.", address=key.address)
    ban = bans.make(order, admin, utcnow())
    typed = asked(key)
    with pytest.raises(AddressBanned):
        enter(typed, signature(key, typed))
    with pytest.raises(AddressBanned):
        bind(node.operator.user, node, key)
    bans.lift(ban, admin, "A mistake.", utcnow())
    bind(node.operator.user, node, key)
    bans.make(order, admin, utcnow())
    node.refresh_from_db()
    assert node.status == "suspended"
    with pytest.raises(AccountBanned):
        bind(node.operator.user, node, Account.create())
    User.objects.filter(pk=node.operator.user_id).update(is_active=False)
    typed = asked(key)
    with pytest.raises(AccountGone):
        enter(typed, signature(key, typed))


def test_the_nodes_page_and_api_are_its_owners(client: Client, node: Node, other: Operator, key: LocalAccount) -> None:
    path = f"/api/v1/nodes/{node.pk}/binding"
    sign_in(client, other.user)
    assert client.get(f"/nodes/{node.pk}/ethereum").status_code == 404
    refused = client.post(f"{path}/challenge", {"address": key.address}, "application/json")
    assert (
        refused.status_code
        == client.put(path, {"nonce": "x", "signature": "0x"}, "application/json").status_code
        == 404
    )
    assert client.delete(path).status_code == 404
    sign_in(client, node.operator.user)
    assert "No address is bound" in client.get(f"/nodes/{node.pk}/ethereum").content.decode()
    typed = client.post(f"{path}/challenge", {"address": key.address}, "application/json").json()["typed_data"]
    body = {"nonce": typed["message"]["nonce"], "signature": signature(key, typed)}
    assert client.put(path, body, "application/json").json() == {"node": node.pk, "address": key.address.lower()}
    assert key.address.lower() in client.get(f"/nodes/{node.pk}/ethereum").content.decode()
    assert client.post(f"/nodes/{node.pk}/ethereum").status_code == 302
    assert client.delete(path).status_code == 204
    assert not NodeBinding.objects.exists()


def test_the_library_leaves_the_recursion_limit_that_refuses_deeply_nested_bodies() -> None:
    script = (
        "import sys, django; django.setup(); limit = sys.getrecursionlimit(); "
        "from apps.operators import ethereum; ethereum.library(); "
        "assert 'py_ecc' in sys.modules and sys.getrecursionlimit() == limit"
    )
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "meshwork.settings"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=environment, check=True, cwd="/", timeout=60)
