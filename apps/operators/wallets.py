"""Wallets: an account proves that it holds an Ed25519 key."""

import secrets
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db import transaction

from apps.core import events, platform_keys
from apps.core.models import User
from apps.ledger import faucet
from apps.ledger.errors import FaucetClaimed, FaucetClosed, FaucetEmpty
from apps.ledger.models import Transfer
from apps.operators.errors import WalletInUse, WalletMissing, WalletRefused
from apps.operators.models import Wallet
from workers.protocol import canonical
from workers.protocol.clock import unix_ms
from workers.protocol.errors import ProtocolError
from workers.protocol.ids import new_id
from workers.protocol.keys import KEY_BYTES, fingerprint, unb64, verify

PURPOSE = "wallet.bind"
LIFE_S = 600


def challenge(user: User, now: datetime) -> dict[str, Any]:
    """What the wallet signs: network, purpose, account, a nonce for one use, and a deadline in unix ms."""
    nonce = secrets.token_hex(16)
    cache.set(f"wallet:{user.pk}:{nonce}", 1, LIFE_S)
    return {
        "net": platform_keys.network_id(),
        "purpose": PURPOSE,
        "user": user.pk,
        "nonce": nonce,
        "deadline": unix_ms(now) + LIFE_S * 1000,
    }


def _check(user: User, message: dict[str, Any], public: bytes, signature: bytes, now: datetime) -> None:
    """Raise WalletRefused unless this key signed this account's own fresh challenge."""
    known = {"net", "purpose", "user", "nonce", "deadline"}
    ours = (
        set(message) == known and message.get("net") == platform_keys.network_id() and message.get("purpose") == PURPOSE
    )
    deadline = message.get("deadline")
    fresh = isinstance(deadline, int) and unix_ms(now) <= deadline <= unix_ms(now) + LIFE_S * 1000
    if not ours or not fresh or message.get("user") != user.pk or len(public) != KEY_BYTES:
        raise WalletRefused
    if not verify(public, signature, canonical.dumps(message)):
        raise WalletRefused
    # Deleting says whether it was there, so a nonce serves once.
    if not cache.delete(f"wallet:{user.pk}:{message.get('nonce')}"):
        raise WalletRefused


def bind(user: User, data: dict[str, Any], now: datetime) -> tuple[Wallet, Transfer | None]:
    """Bind the wallet and claim the faucet's first reward for it, once; `data`: public, signature, message, label.

    Raises WalletRefused or WalletInUse.
    """
    try:
        public, signature = unb64(data["public"]), unb64(data["signature"])
        _check(user, data["message"], public, signature, now)
    except ProtocolError as error:
        raise WalletRefused from error
    with transaction.atomic():
        wallet, made = Wallet.objects.get_or_create(
            address=fingerprint(public),
            defaults={
                "id": new_id("wal", now),
                "user": user,
                "public": data["public"],
                "label": data.get("label", ""),
                "created_at": now,
            },
        )
        if wallet.user_id != user.pk:
            raise WalletInUse
        if made:
            topics = [f"user.{user.pk}"]
            events.emit(
                "wallet.bound", subject=wallet.pk, topics=topics, data={"address": wallet.address}, now=now, actor=user
            )
    return wallet, claim_first(user, now)


def claim_first(user: User, now: datetime) -> Transfer | None:
    """The faucet's reward for a first wallet; None where it was claimed, the faucet is empty, or there is none.

    Raises WalletMissing before a wallet is bound.
    """
    if not user.wallets.exists():
        raise WalletMissing
    try:
        return faucet.claim(user, "wallet_connect", now)
    except (FaucetClaimed, FaucetClosed, FaucetEmpty):
        return None
