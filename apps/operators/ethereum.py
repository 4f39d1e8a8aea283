"""Ethereum addresses, proven by EIP-712 signatures: a way in, and an owner's mark on a node.

What is signed is made here and kept until it is answered, so that nothing of it is the client's word. A signature is
good once because its nonce is: many signatures of one message recover to the same address, those with a high s too.
"""

import re
import sys
from datetime import datetime
from importlib import import_module
from threading import Thread
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from apps.core import events, parameters, platform_keys
from apps.core.models import User
from apps.operators import bans, challenges, mail, sybil, wallets
from apps.operators import wallet_errors as errors
from apps.operators.account_errors import AccountGone
from apps.operators.models import EthereumAddress, Node, NodeBinding, NodeStatus

SIGN_IN = "ethereum.sign-in"
BIND_NODE = "ethereum.bind-node"
VERSION = "1"
SIGNATURE_BYTES = 65
_DOMAIN = [("name", "string"), ("version", "string"), ("chainId", "uint256")]
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_TYPES = {
    SIGN_IN: (
        "SignIn",
        [("ethAddress", "address"), ("site", "string"), ("nonce", "string"), ("deadline", "uint256")],
    ),
    BIND_NODE: (
        "NodeBinding",
        [("ethAddress", "address"), ("node", "string"), ("nonce", "string"), ("deadline", "uint256")],
    ),
}


def normal(address: object) -> str:
    """An address in lower case; raises AddressMalformed for what is none."""
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
        raise errors.AddressMalformed
    return address.lower()


def warm() -> None:
    """Load what checks signatures while somebody reads what to sign: it takes seconds, and few requests need it."""
    if "eth_account" not in sys.modules:
        Thread(target=library, daemon=True).start()


def library() -> None:
    """Import eth-account, and leave the interpreter's recursion limit as it was.

    One of its libraries raises the limit a hundredfold; under that, deeply nested JSON from anybody would overflow the
    stack and end the process, where it is refused otherwise.
    """
    limit = sys.getrecursionlimit()
    try:
        import_module("eth_account.messages")
    finally:
        sys.setrecursionlimit(limit)


def sign_in_challenge(address: object, now: datetime) -> dict[str, Any]:
    """What a visitor's Ethereum wallet signs to come in, as EIP-712 typed data. Raises AddressMalformed."""
    return typed_data(_issue({"purpose": SIGN_IN, "address": normal(address), "site": settings.SITE_URL}, now))


def binding_challenge(user: User, node: Node, address: object, now: datetime) -> dict[str, Any]:
    """What an address signs to be bound to one's own node, as EIP-712 typed data.

    Raises AddressMalformed, AddressInUse, NodeNotOwn, or TooManyBindings before anybody signs in vain.
    """
    wanted = normal(address)
    _check_may_bind(user, node, wanted)
    return typed_data(_issue({"purpose": BIND_NODE, "address": wanted, "node": node.pk, "user": user.pk}, now))


def _issue(content: dict[str, Any], now: datetime) -> dict[str, Any]:
    chain = parameters.get("ethereum.chain_id")
    return challenges.issue({"net": platform_keys.network_id(), "chain": chain, **content}, now)


def typed_data(challenge: dict[str, Any]) -> dict[str, Any]:
    """A challenge as wallets are asked to sign it (eth_signTypedData_v4)."""
    name, fields = _TYPES[challenge["purpose"]]
    values = {**challenge, "ethAddress": challenge["address"], "deadline": challenge["deadline"] // 1000}
    return {
        "types": {
            "EIP712Domain": [{"name": field, "type": kind} for field, kind in _DOMAIN],
            name: [{"name": field, "type": kind} for field, kind in fields],
        },
        "primaryType": name,
        "domain": {"name": challenge["net"], "version": VERSION, "chainId": challenge["chain"]},
        "message": {field: values[field] for field, _ in fields},
    }


def recovered(typed: dict[str, Any], signature: str) -> str:
    """The address, in lower case, whose key made the signature; raises ProofMalformed where nobody's did."""
    # Not at the top: see `warm`.
    library()
    from eth_account import Account
    from eth_account.messages import encode_typed_data
    from eth_keys.exceptions import BadSignature

    try:
        raw = bytes.fromhex(signature.removeprefix("0x"))
        if len(raw) != SIGNATURE_BYTES:
            raise errors.ProofMalformed
        return str(Account.recover_message(encode_typed_data(full_message=typed), signature=raw)).lower()
    except (ValueError, BadSignature) as error:
        raise errors.ProofMalformed from error


def proven(nonce: object, signature: str, purpose: str, now: datetime, *, user: User | None = None) -> dict[str, Any]:
    """The challenge of that nonce, signed by its address and used up by it. Raises one of the WalletRefused."""
    challenge = challenges.find(nonce, now)
    if challenge.get("net") != platform_keys.network_id():
        raise errors.ProofWrongNetwork
    if challenge["purpose"] != purpose:
        raise errors.ProofWrongPurpose
    if challenge.get("user") != (user.pk if user else None):
        raise errors.ProofForeign
    if recovered(typed_data(challenge), signature) != challenge["address"]:
        raise errors.SignatureWrong
    challenges.use(challenge)
    return challenge


def enter(nonce: object, signature: str, now: datetime, *, source: str) -> wallets.Entry:
    """The account of the address that signed; a new one, without an e-mail address, where no account has it.

    `source` is where the request came from. Raises one of the WalletRefused, AddressBanned, AccountGone or
    TooManyAccounts.
    """
    address = proven(nonce, signature, SIGN_IN, now)["address"]
    row = EthereumAddress.objects.select_related("user").filter(pk=address).first()
    made = False
    if row is None:
        bans.refuse(now, address=address)
        sybil.count_account(source)
        row, made = _with_account(address, now)
    if not row.user.is_active:
        raise AccountGone
    if row.removed_at is not None:
        raise errors.WalletRemoved
    return wallets.Entry(row.user, made, wallets.claim_first(row.user, now) if made else None)


def _with_account(address: str, now: datetime) -> tuple[EthereumAddress, bool]:
    """A new account with this address; False beside it where somebody made one at the same moment."""
    try:
        with transaction.atomic(durable=True):
            user = User.objects.create_user(None, name=f"Ethereum {address[:8]}")
            row = EthereumAddress.objects.create(address=address, user=user, created_at=now)
            _tell("ethereum.bound", address, user, {"address": address}, now)
    except IntegrityError:
        return EthereumAddress.objects.select_related("user").get(pk=address), False
    return row, True


def bind_node(user: User, node: Node, nonce: object, signature: str, now: datetime) -> NodeBinding:
    """Bind the address that signed to one's own node, in place of any before; the address becomes the account's.

    Raises one of the WalletRefused, AddressBanned, AddressInUse, NodeNotOwn, TooManyBindings, or AccountGone.
    """
    challenge = proven(nonce, signature, BIND_NODE, now, user=user)
    if challenge["node"] != node.pk:
        raise errors.ProofForeign("The challenge was made for another node. Ask for a new one.")
    address = challenge["address"]
    bans.refuse(now, user=user, address=address)
    with transaction.atomic(durable=True):
        if User.objects.locked(user.pk) is None:
            raise AccountGone
        _, made = EthereumAddress.objects.get_or_create(address=address, defaults={"user": user, "created_at": now})
        # Locked, so that bindings of one address are counted one after another.
        EthereumAddress.objects.select_for_update(no_key=True).get(pk=address)
        _check_may_bind(user, node, address)
        if made or EthereumAddress.objects.filter(pk=address).exclude(removed_at=None).update(removed_at=None):
            mail.notify(user, "wallet_bound", {"address": address}, now)
        binding, _ = NodeBinding.objects.update_or_create(node=node, defaults={"address_id": address, "at": now})
        _tell("node.bound", node.pk, user, {"address": address, "name": node.name}, now)
    return binding


@transaction.atomic(durable=True)
def unbind_node(user: User, node: Node, now: datetime) -> bool:
    """Take a node's address away; False where it had none. Raises NodeNotOwn."""
    if node.operator.user_id != user.pk:
        raise errors.NodeNotOwn
    gone, _ = NodeBinding.objects.filter(node=node).delete()
    if gone:
        _tell("node.unbound", node.pk, user, {"name": node.name}, now)
    return bool(gone)


def _check_may_bind(user: User, node: Node, address: str) -> None:
    """One's own living node, an address of nobody else, and fewer nodes at it than the most."""
    if node.operator.user_id != user.pk or node.status == NodeStatus.REVOKED:
        raise errors.NodeNotOwn
    if EthereumAddress.objects.filter(pk=address).exclude(user=user).exists():
        raise errors.AddressInUse
    others = NodeBinding.objects.filter(address_id=address).exclude(node=node)
    if others.exclude(node__status=NodeStatus.REVOKED).count() >= parameters.get("ethereum.nodes_per_address"):
        raise errors.TooManyBindings


def holders(addresses: Any) -> dict[str, int]:
    """Accounts by the address that they hold; for bans."""
    return dict(EthereumAddress.objects.filter(pk__in=list(addresses)).values_list("address", "user_id"))


def _tell(kind: str, subject: str, user: User, data: dict[str, Any], now: datetime) -> None:
    events.emit(kind, subject=subject, topics=[f"user.{user.pk}"], data=data, now=now, actor=user)
