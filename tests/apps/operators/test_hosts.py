"""Hosts of shards: a wallet, work and a small stake, and nothing that a node of an operator has."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from apps.core import parameters
from apps.core.models import Event, User
from apps.ledger import accounts, staking
from apps.ledger.errors import InsufficientFunds
from apps.ledger.models import Account
from apps.operators import bans, enrolment, errors, hosts, stakes, wallet_errors, wallets
from apps.operators.account_errors import AccountGone
from apps.operators.models import Node, Operator, ShardHost, Wallet
from apps.operators.sybil_errors import HostNameInUse, HostUnknown, TooManyJoins, WalletUnbound
from tests.apps.ledger.waits import until_somebody_waits_for_me
from tests.apps.operators.test_enrolment import prepared
from tests.apps.operators.test_sybil import ELSEWHERE, govern
from tests.apps.operators.test_wallets import TEN, at_once, fresh, signed
from workers.protocol import pow as proof_of_work
from workers.protocol.canonical import dumps
from workers.protocol.clock import utcnow
from workers.protocol.keys import SealingKey, SigningKey, b64, fingerprint


@pytest.fixture(autouse=True)
def forgotten(platform_redis: object) -> Any:
    """Nothing is counted or challenged yet."""
    yield
    parameters.forget_cached()


@pytest.fixture
def wallet() -> SigningKey:
    """A wallet whose account has the faucet's ten."""
    key = SigningKey.generate()
    wallets.enter(fresh(key), wallets.SIGN_IN, utcnow(), address="127.0.0.1")
    return key


def owner(wallet: SigningKey) -> User:
    return Wallet.objects.get(address=fingerprint(wallet.public)).user


def asked(wallet: SigningKey, name: str = "attic", machine: SigningKey | None = None, **change: Any) -> hosts.Request:
    """What a machine sends; `change` alters the message after it was issued."""
    machine = machine or SigningKey.generate()
    public = b64(machine.public)
    message = {**hosts.challenge(name, public, b64(SealingKey.generate().public), utcnow()), **change}
    return hosts.Request(
        proof=signed(wallet, message),
        host_signature=b64(machine.sign(dumps(message))),
        work=proof_of_work.solve(message["nonce"], public),
        probe={"cpu_cores": 4},
        address="127.0.0.1",
    )


def join(wallet: SigningKey, name: str = "attic", **how: Any) -> ShardHost:
    return hosts.join(asked(wallet, name, **how), utcnow())


def test_a_machine_joins_with_the_faucets_ten_and_needs_nobodys_word(wallet: SigningKey) -> None:
    host = join(wallet)
    user = owner(wallet)
    assert (host.user, host.status, host.name) == (user, "active", "attic")
    assert (accounts.balance(user), staking.bonded(user)) == (0, TEN)
    assert Event.objects.filter(kind="host.joined", subject=host.pk).exists()


def test_a_host_is_no_node_no_operator_and_has_no_seat(wallet: SigningKey, client: Client) -> None:
    join(wallet)
    assert not Node.objects.exists()
    assert not Operator.objects.exists()
    assert client.get("/api/v1/nodes").json()["results"] == []


def test_the_stake_is_the_owners_and_an_operators_tier_covers_it(wallet: SigningKey, operator: Operator) -> None:
    join(wallet)
    join(wallet, "cellar")
    assert staking.bonded(owner(wallet)) == TEN
    key, now = SigningKey.generate(), utcnow()
    wallets.bind(operator.user, signed(key, wallets.challenge(operator.user, now)), now)
    before = staking.bonded(operator.user)
    join(key)
    assert staking.bonded(operator.user) == before


def test_without_the_stake_nobody_joins(wallet: SigningKey) -> None:
    govern("operators.host_stake", TEN + 1)
    with pytest.raises(InsufficientFunds):
        join(wallet)
    assert not ShardHost.objects.exists()
    assert accounts.balance(owner(wallet)) == TEN


def test_the_stake_stays_until_the_last_host_left(wallet: SigningKey) -> None:
    host, user = join(wallet), owner(wallet)
    with pytest.raises(errors.NodesEnrolled):
        stakes.take_back(user, TEN, utcnow())
    assert hosts.leave(user, host.pk, utcnow()).status == "left"
    with pytest.raises(HostUnknown):
        hosts.leave(user, host.pk, utcnow())
    assert stakes.take_back(user, TEN, utcnow()).amount == TEN


def test_nobody_lets_go_somebody_elses_host(wallet: SigningKey, applicant: User) -> None:
    with pytest.raises(HostUnknown):
        hosts.leave(applicant, join(wallet).pk, utcnow())
    assert ShardHost.objects.get().status == "active"


Change = Callable[[hosts.Request], hosts.Request]
WRONG: dict[str, tuple[Change, type[Exception]]] = {
    "no work": (lambda r: replace(r, work="no"), errors.PowInvalid),
    "too long a nonce": (lambda r: replace(r, work="0" * 65), errors.PowInvalid),
    "a forged signature of the machine": (
        lambda r: replace(r, host_signature=b64(bytes(64))),
        wallet_errors.SignatureWrong,
    ),
    "no signature of the machine": (lambda r: replace(r, host_signature="ü"), wallet_errors.ProofMalformed),
    "a forged signature of the wallet": (
        lambda r: replace(r, proof={**r.proof, "signature": b64(bytes(64))}),
        wallet_errors.SignatureWrong,
    ),
    "no message": (lambda r: replace(r, proof={**r.proof, "message": None}), wallet_errors.ProofMalformed),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_request_is_said_and_leaves_the_challenge_good(case: str, wallet: SigningKey) -> None:
    good = asked(wallet)
    change, error = WRONG[case]
    with pytest.raises(error):
        hosts.join(change(good), utcnow())
    assert not ShardHost.objects.exists()
    assert staking.bonded(owner(wallet)) == 0
    assert hosts.join(good, utcnow()).name == "attic"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"net": "meshwork-mainnet"}, wallet_errors.ProofWrongNetwork),
        ({"purpose": wallets.SIGN_IN}, wallet_errors.ProofWrongPurpose),
        ({"stake": "0"}, wallet_errors.ChallengeUnknown),
        ({"zeros": 1}, wallet_errors.ChallengeUnknown),
        ({"user": 7}, wallet_errors.ProofForeign),
    ],
)
def test_a_message_that_was_changed_is_refused(
    change: dict[str, Any], error: type[Exception], wallet: SigningKey
) -> None:
    with pytest.raises(error):
        join(wallet, **change)
    assert not ShardHost.objects.exists()


def test_a_request_is_good_once_and_for_ten_minutes(wallet: SigningKey) -> None:
    late, once = asked(wallet), asked(wallet, "cellar")
    with pytest.raises(wallet_errors.ChallengeExpired):
        hosts.join(late, utcnow() + timedelta(minutes=11))
    hosts.join(once, utcnow())
    with pytest.raises(wallet_errors.ChallengeUsed):
        hosts.join(once, utcnow())


def test_a_wallet_of_no_account_is_told_to_log_in() -> None:
    with pytest.raises(WalletUnbound):
        join(SigningKey.generate())


def test_a_key_is_one_machines_whatever_it_is(wallet: SigningKey, operator: Operator) -> None:
    machine = SigningKey.generate()
    join(wallet, machine=machine)
    with pytest.raises(errors.KeyInUse):
        asked(wallet, "cellar", machine=machine)
    with pytest.raises(errors.KeyInUse):
        enrolment.enrol(prepared(operator, sign_public=machine.public), utcnow())
    node = prepared(operator)
    enrolment.enrol(node, utcnow())
    with pytest.raises(errors.KeyInUse):
        hosts.challenge("x", b64(node.sign_public), b64(SealingKey.generate().public), utcnow())
    with pytest.raises(HostNameInUse):
        join(wallet)


@pytest.mark.parametrize(
    ("name", "key"), [("", b64(bytes(32))), ("-x", b64(bytes(32))), ("x", "no"), ("x", b64(bytes(31)))]
)
def test_names_and_keys_that_are_none_get_no_challenge(name: str, key: str) -> None:
    with pytest.raises((errors.NameInvalid, errors.KeyInvalid)):
        hosts.challenge(name, key, b64(SealingKey.generate().public), utcnow())


def test_bans_limits_and_deletion_keep_machines_out(wallet: SigningKey, admin: User) -> None:
    govern("operators.joins_per_hour", 0)
    with pytest.raises(TooManyJoins):
        hosts.join(replace(asked(wallet), address=ELSEWHERE), utcnow())
    govern("operators.max_nodes", 1)
    join(wallet)
    with pytest.raises(errors.TooManyNodes):
        join(wallet, "cellar")
    ban = bans.make(bans.Order("Lies.", "Event 7.", address=fingerprint(wallet.public)), admin, utcnow())
    with pytest.raises(errors.AccountBanned):
        join(wallet, "cellar")
    bans.lift(ban, admin, "A mistake.", utcnow())
    User.objects.filter(pk=owner(wallet).pk).update(is_active=False)
    with pytest.raises(AccountGone):
        join(wallet, "cellar")
    assert ShardHost.objects.count() == 1


def test_a_wallet_brings_three_hosts_and_one_more_when_one_has_left(wallet: SigningKey) -> None:
    first, *_others = [join(wallet, name) for name in ("attic", "cellar", "shed")]
    with pytest.raises(errors.TooManyNodes, match="One wallet has at most 3 hosts"):
        join(wallet, "garage")
    hosts.leave(owner(wallet), first.pk, utcnow())
    assert join(wallet, "garage").status == "active"


@pytest.mark.django_db(transaction=True)
def test_one_request_sent_many_times_at_once_makes_one_host(wallet: SigningKey) -> None:
    request = asked(wallet)
    answers = at_once([lambda: hosts.join(request, utcnow())] * 5)
    assert sorted(a for a in answers if isinstance(a, str)) == ["challenge_used"] * 4
    assert staking.bonded(owner(wallet)) == TEN


@pytest.mark.django_db(transaction=True)
def test_a_host_that_joins_while_the_stake_is_taken_back_is_never_without_it(wallet: SigningKey) -> None:
    user = owner(wallet)
    stakes.add(user, TEN, utcnow())
    request = asked(wallet)

    def joining() -> str:
        try:
            return hosts.join(request, utcnow()).status
        except InsufficientFunds:
            return "short"

    def leaving() -> str:
        try:
            return str(stakes.take_back(user, TEN, utcnow()).amount)
        except errors.NodesEnrolled as error:
            return error.code

    outcome = at_once([joining, leaving])
    assert outcome in (["active", "nodes_enrolled"], ["short", str(TEN)])
    hosts_there = ShardHost.objects.filter(status="active").count()
    assert staking.bonded(user) >= hosts_there * TEN


@pytest.mark.django_db(transaction=True)
def test_a_host_that_joins_locks_the_operator_before_the_accounts(wallet: SigningKey) -> None:
    user, request = owner(wallet), asked(wallet)
    operator = Operator.objects.create(id="op_1", user=user, tier="ORACLE", region="eu-west", approved_at=utcnow())
    mine = [accounts.stake(user).pk, accounts.wallet(user).pk]
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Operator.objects.locked(operator.pk)
            answer = pool.submit(at_once, [lambda: hosts.join(request, utcnow()).status])
            until_somebody_waits_for_me()
            assert len(Account.objects.select_for_update(nowait=True).filter(pk__in=mine)) == 2
        assert answer.result() == ["active"]


@pytest.mark.django_db(transaction=True)
def test_a_host_that_meets_a_deadlock_joins_all_the_same(wallet: SigningKey) -> None:
    user, request = owner(wallet), asked(wallet)
    stake = accounts.stake(user)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            accounts.lock(stake)
            answer = pool.submit(at_once, [lambda: hosts.join(request, utcnow()).status])
            until_somebody_waits_for_me()
            # The one that waits longer is ended: the host, which holds the user.
            User.objects.select_for_update(no_key=True).get(pk=user.pk)
        assert answer.result() == ["active"]
    assert staking.bonded(user) == TEN


def test_the_page_and_the_api_are_their_owners(client: Client, wallet: SigningKey, applicant: User) -> None:
    host = join(wallet)
    assert client.get("/hosts").status_code == 302
    assert client.get("/api/v1/hosts").status_code == 401
    client.force_login(applicant)
    assert "No host yet" in client.get("/hosts").content.decode()
    assert client.get("/api/v1/hosts").json() == {"results": []}
    assert client.post(f"/api/v1/hosts/{host.pk}/leave").json()["code"] == "host_unknown"
    assert client.post(f"/hosts/{host.pk}/leave").status_code == 302
    assert ShardHost.objects.get().status == "active"
    client.force_login(owner(wallet))
    assert "attic" in client.get("/hosts").content.decode()
    assert client.get("/api/v1/hosts").json()["results"][0]["stake"] == "10"
    assert client.post(f"/hosts/{host.pk}/leave").status_code == 302
    assert ShardHost.objects.get().status == "left"
