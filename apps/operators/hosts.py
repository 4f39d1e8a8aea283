"""Hosts of shards: a machine joins with a wallet, proof-of-work and a small stake; no application and no review.

A host is no node: it has no tier, no seat, no vote by seat and no part of the emission, and the queues of nodes do not
know it. It is for work that is replicated and not sealed, for its share of the fee. The stake is its owner's, whatever
the number of their hosts, and an operator's tier covers it.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.db import IntegrityError, transaction
from django.db.models import Q

from apps.core import events, parameters, platform_keys
from apps.core.models import User
from apps.ledger import accounts, amounts, staking
from apps.ledger.retries import retried
from apps.operators import bans, challenges, hardware, stakes, sybil, wallets
from apps.operators import wallet_errors as errors
from apps.operators.account_errors import AccountGone
from apps.operators.enrolment import NODE_NAME
from apps.operators.errors import KeyInUse, KeyInvalid, NameInvalid, PowInvalid, TooManyNodes
from apps.operators.models import Node, RetiredKey, ShardHost, Wallet
from apps.operators.sybil_errors import HostNameInUse, HostUnknown, WalletUnbound
from workers.protocol import canonical
from workers.protocol import pow as proof_of_work
from workers.protocol.errors import ProtocolError
from workers.protocol.ids import new_id
from workers.protocol.keys import KEY_BYTES, fingerprint, kid_of, unb64, verify

PURPOSE = "host.join"
MOST = "operators.max_nodes"
MOST_OF_WALLET = "operators.hosts_per_wallet"


@dataclass(frozen=True)
class Request:
    """A machine that wants to host shards: the wallet's and its own signature over the message, and its work."""

    proof: dict[str, Any]
    host_signature: str
    work: str
    probe: dict[str, Any]
    address: str


def challenge(name: str, sign_public: str, seal_public: str, now: datetime) -> dict[str, Any]:
    """What wallet and machine sign: the machine's name and keys (base64), the stake, and how much work.

    Raises NameInvalid, KeyInvalid or KeyInUse.
    """
    _check(name, sign_public, seal_public)
    content = {
        "net": platform_keys.network_id(),
        "purpose": PURPOSE,
        "name": name,
        "sign_public": sign_public,
        "seal_public": seal_public,
        "stake": amounts.show(parameters.get("operators.host_stake")),
        "zeros": parameters.get("operators.pow_zeros"),
    }
    return challenges.issue(content, now)


def _check(name: str, sign_public: str, seal_public: str) -> None:
    """A name, and two whole keys that no machine has or had."""
    if not re.fullmatch(NODE_NAME, name, re.ASCII):
        raise NameInvalid
    try:
        whole = {len(unb64(sign_public)), len(unb64(seal_public))} == {KEY_BYTES}
    except ProtocolError as error:
        raise KeyInvalid from error
    if not whole:
        raise KeyInvalid
    taken = Q(sign_public=sign_public) | Q(seal_public=seal_public)
    retired = RetiredKey.objects.filter(sign_public=sign_public)
    if Node.objects.filter(taken).exists() or ShardHost.objects.filter(taken).exists() or retired.exists():
        raise KeyInUse


def join(request: Request, now: datetime) -> ShardHost:
    """Make the host and lock what its stake lacks. Any refusal changes nothing but uses the challenge up.

    Raises one of the WalletRefused, ProbeRefused, PowInvalid, WalletUnbound, AccountGone, AccountBanned, AddressBanned,
    KeyInUse, HostNameInUse, TooManyNodes, TooManyJoins, or InsufficientFunds where the account does not hold the stake.
    """
    message, request = request.proof.get("message"), replace(request, probe=hardware.enrolled(request.probe))
    if not isinstance(message, dict):
        raise errors.ProofMalformed
    _check_machine(message, request)
    public = wallets.proven(request.proof, PURPOSE, now)
    wallet = Wallet.objects.bound().select_related("user").filter(address=fingerprint(public)).first()
    if wallet is None:
        raise WalletUnbound
    bans.refuse(now, user=wallet.user, address=wallet.address)
    return _made(wallet, message, request, now)


def _check_machine(message: dict[str, Any], request: Request) -> None:
    """The machine holds the key that it announces, and worked for it; both before the challenge is used up."""
    sign_public, nonce = message.get("sign_public"), message.get("nonce")
    if not isinstance(sign_public, str) or not isinstance(nonce, str):
        raise errors.ProofMalformed
    try:
        signed = verify(unb64(sign_public), unb64(request.host_signature), canonical.dumps(message))
    except ProtocolError as error:
        raise errors.ProofMalformed from error
    if not signed:
        raise errors.SignatureWrong("The machine's signature does not fit the message and its key.")
    if not proof_of_work.check(nonce, sign_public, request.work, parameters.get("operators.pow_zeros")):
        raise PowInvalid


# Below the proof, whose challenge is used up by now: only this is tried again.
@retried
@transaction.atomic(durable=True)
def _made(wallet: Wallet, message: dict[str, Any], request: Request, now: datetime) -> ShardHost:
    # Before everything else, in the order of an account's deletion, which waits or is found done.
    user = User.objects.locked(wallet.user_id)
    if user is None:
        raise AccountGone
    _check(message["name"], message["sign_public"], message["seal_public"])
    active = ShardHost.objects.filter(user=user, status=ShardHost.Status.ACTIVE)
    most = parameters.get(MOST_OF_WALLET)
    if active.filter(wallet=wallet).count() >= most:
        raise TooManyNodes(f"One wallet has at most {most} hosts of shards. Let one go first, or join with another.")
    if active.count() >= parameters.get(MOST):
        raise TooManyNodes
    # Locked, so that whoever takes stake back at this moment sees this host, or is seen by it; in their order.
    stakes.locked(user)
    accounts.lock(accounts.stake(user), accounts.wallet(user))
    sybil.count_join(request.address, now)
    host = _row(wallet, message, request.probe, now)
    missing = parameters.get("operators.host_stake") - staking.bonded(user)
    if missing > 0:
        stakes.add(user, missing, now, request=uuid4())
    _tell("host.joined", host, now)
    return host


def _row(wallet: Wallet, message: dict[str, Any], probe: dict[str, Any], now: datetime) -> ShardHost:
    try:
        with transaction.atomic():
            return ShardHost.objects.create(
                id=new_id("host", now),
                user_id=wallet.user_id,
                wallet=wallet,
                name=message["name"],
                sign_public=message["sign_public"],
                seal_public=message["seal_public"],
                kid=kid_of(unb64(message["sign_public"])),
                probe=probe,
                joined_at=now,
            )
    except IntegrityError as error:
        raise (HostNameInUse if "operators_host_name_once" in str(error) else KeyInUse) from error


@transaction.atomic(durable=True)
def leave(user: User, host_id: str, now: datetime) -> ShardHost:
    """Let a host go; its stake stays until it is taken back. Raises HostUnknown where it is not one's own, or left."""
    left = ShardHost.objects.filter(pk=host_id, user=user, status=ShardHost.Status.ACTIVE)
    if left.update(status=ShardHost.Status.LEFT, left_at=now) != 1:
        raise HostUnknown
    host = ShardHost.objects.select_related("user").get(pk=host_id)
    _tell("host.left", host, now)
    return host


def _tell(kind: str, host: ShardHost, now: datetime) -> None:
    data = {"name": host.name, "wallet": host.wallet.address}
    events.emit(kind, subject=host.pk, topics=[f"user.{host.user_id}", "admin"], data=data, now=now, actor=host.user)
