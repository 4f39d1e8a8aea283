"""Wallets: an account proves that it holds an Ed25519 key; a key alone is an account's way in."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from apps.core import events, platform_keys
from apps.core.models import User
from apps.ledger import accounts, faucet
from apps.ledger.errors import FaucetClaimed, FaucetClosed, FaucetEmpty
from apps.ledger.ids import named
from apps.ledger.models import Transfer
from apps.operators import bans, challenges, mail, sybil
from apps.operators import wallet_errors as errors
from apps.operators.account_errors import AccountGone
from apps.operators.errors import WalletInUse, WalletMissing
from apps.operators.models import EthereumAddress, Wallet
from workers.protocol import canonical
from workers.protocol.errors import ProtocolError
from workers.protocol.ids import new_id
from workers.protocol.keys import KEY_BYTES, fingerprint, unb64, verify

BIND = "wallet.bind"
SIGN_IN = "wallet.sign-in"
MAKE_KEY = "wallet.key"
VISITORS_PURPOSES = (SIGN_IN, MAKE_KEY)
REWARD = "wallet_connect"


@dataclass(frozen=True)
class Entry:
    """Whose wallet it is, whether the account was made for it now, and what the faucet gave."""

    user: User
    made: bool
    given: Transfer | None


def challenge(user: User, now: datetime) -> dict[str, Any]:
    """What a wallet signs to be bound to an account."""
    return challenges.issue({"net": platform_keys.network_id(), "purpose": BIND, "user": user.pk}, now)


def visitors_challenge(purpose: str, now: datetime) -> dict[str, Any]:
    """What a wallet signs to open a session, or to make an API key."""
    return challenges.issue({"net": platform_keys.network_id(), "purpose": purpose}, now)


def proven(data: dict[str, Any], purpose: str, now: datetime, *, user: User | None = None) -> bytes:
    """The public key (32 bytes) that signed a fresh challenge of that purpose, which is used up by it.

    `data`: public and signature in base64, and the message. Raises one of the WalletRefused.
    """
    message = data.get("message")
    if not isinstance(message, dict):
        raise errors.ProofMalformed
    if message.get("net") != platform_keys.network_id():
        raise errors.ProofWrongNetwork
    if message.get("purpose") != purpose:
        raise errors.ProofWrongPurpose
    if message.get("user") != (user.pk if user else None):
        raise errors.ProofForeign
    asked = challenges.find(message.get("nonce"), now)
    try:
        public, signature, text = unb64(data["public"]), unb64(data["signature"]), canonical.dumps(message)
    except (ProtocolError, KeyError) as error:
        raise errors.ProofMalformed from error
    if len(public) != KEY_BYTES:
        raise errors.ProofMalformed
    if message != asked:
        raise errors.ChallengeUnknown
    if not verify(public, signature, text):
        raise errors.SignatureWrong
    challenges.use(asked)
    return public


def bind(user: User, data: dict[str, Any], now: datetime) -> tuple[Wallet, Transfer | None]:
    """Bind the wallet and claim the faucet's first reward for it, once; `data`: public, signature, message, label.

    Raises one of the WalletRefused, AddressBanned, WalletInUse, or AccountGone.
    """
    public = proven(data, BIND, now, user=user)
    bans.refuse(now, address=fingerprint(public))
    with transaction.atomic():
        if User.objects.locked(user.pk) is None:
            raise AccountGone
        wallet, made = Wallet.objects.get_or_create(address=fingerprint(public), defaults=_row(user, data, now))
        if wallet.user_id != user.pk:
            raise WalletInUse
        if made or Wallet.objects.filter(pk=wallet.pk).exclude(removed_at=None).update(removed_at=None):
            _tell(wallet, now)
            mail.notify(user, "wallet_bound", {"address": wallet.address}, now)
    return wallet, claim_first(user, now)


def enter(data: dict[str, Any], purpose: str, now: datetime, *, address: str) -> Entry:
    """The account of the wallet that signed; a new one, without an e-mail address, where no account has it.

    `data` as for `bind`; `address` is where the request came from. Somebody banned may come in, to read why and to
    appeal; a banned wallet makes no account. Raises one of the WalletRefused, AddressBanned, AccountGone or
    TooManyAccounts.
    """
    public = proven(data, purpose, now)
    wallet = Wallet.objects.select_related("user").filter(address=fingerprint(public)).first()
    made = False
    if wallet is None:
        bans.refuse(now, address=fingerprint(public))
        sybil.count_account(address)
        wallet, made = _with_account(data, fingerprint(public), now)
    if not wallet.user.is_active:
        raise AccountGone
    if wallet.removed_at is not None:
        raise errors.WalletRemoved
    return Entry(wallet.user, made, claim_first(wallet.user, now) if made else None)


def _with_account(data: dict[str, Any], address: str, now: datetime) -> tuple[Wallet, bool]:
    """A new account with this wallet; False beside it where somebody made one at the same moment."""
    try:
        with transaction.atomic(durable=True):
            user = User.objects.create_user(None, name=f"Wallet {address[:8]}")
            wallet = Wallet.objects.create(address=address, **_row(user, data, now))
            _tell(wallet, now)
    except IntegrityError:
        return Wallet.objects.select_related("user").get(address=address), False
    return wallet, True


def _row(user: User, data: dict[str, Any], now: datetime) -> dict[str, Any]:
    label = data.get("label", "")
    return {"id": new_id("wal", now), "user": user, "public": data["public"], "label": label, "created_at": now}


def _tell(wallet: Wallet, now: datetime) -> None:
    user = wallet.user
    data = {"address": wallet.address}
    events.emit("wallet.bound", subject=wallet.pk, topics=[f"user.{user.pk}"], data=data, now=now, actor=user)


def has_one(user: User) -> bool:
    """Whether the account proved to hold a wallet, of ours or of Ethereum."""
    return user.wallets.bound().exists() or EthereumAddress.objects.bound().filter(user=user).exists()


def addresses(user: User) -> list[str]:
    """The addresses of the account's wallets."""
    return list(user.wallets.bound().values_list("address", flat=True))


def claim_first(user: User, now: datetime) -> Transfer | None:
    """The faucet's reward for a first wallet; None where it was claimed, the faucet is empty, or there is none.

    Raises WalletMissing before a wallet is bound.
    """
    if not has_one(user):
        raise WalletMissing
    try:
        return faucet.claim(user, REWARD, now)
    except (FaucetClaimed, FaucetClosed, FaucetEmpty):
        return None


def first_reward(user: User) -> Transfer | None:
    """What the faucet gave for the first wallet; None where it gave nothing."""
    return Transfer.objects.filter(pk=named("faucet", REWARD, accounts.owner_of(user))).first()
