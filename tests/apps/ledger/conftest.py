"""The ledger's cast: Ada and Bert have wallets, the mint can fill them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import transaction
from pytest_django import Settings

from apps.core import platform_keys
from apps.core.models import User
from apps.ledger import accounts, blocks, genesis, holds, settlement
from apps.ledger.models import Account, Block, Hold
from apps.ledger.posting import post_all
from tests.apps.ledger.cast import BY, NOW, Fund, move


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def ada(db: None) -> Account:
    return accounts.wallet(User.objects.create_user(email="ada@example.org", password="x"))


@pytest.fixture
def bert(db: None) -> Account:
    return accounts.wallet(User.objects.create_user(email="bert@example.org", password="x"))


@pytest.fixture
def fund() -> Fund:
    def fund(account: Account, amount: int) -> None:
        with transaction.atomic():
            post_all([move(accounts.system("mint"), account, amount, kind="mint")], now=NOW)
        account.refresh_from_db()

    return fund


@pytest.fixture
def keys(settings: Settings, tmp_path: Path, db: None) -> Iterator[None]:
    """The platform's keys, made for this test alone, at the moment at which the network starts."""
    settings.DATA_DIR = tmp_path
    platform_keys.forget_cached()
    platform_keys.create(NOW)
    yield
    platform_keys.forget_cached()


@pytest.fixture
def started(keys: None) -> Block:
    """A testnet with its genesis and a block every ten seconds."""
    document = genesis.document(network="meshwork-testnet", testnet=True, timestamp=NOW, block_seconds=10)
    return genesis.write(document, NOW)


@pytest.fixture
def busy(started: Block, ada: Account, bert: Account) -> Hold:
    """A ledger in which everything has happened: an empty block, open and closed holds, pending transfers."""
    slot = timedelta(seconds=10)
    treasury = accounts.system("treasury")
    post_all([move(treasury, ada, 1_000), move(treasury, bert, 1_000)], now=NOW)
    blocks.seal_due(NOW + slot)
    blocks.seal_due(NOW + 2 * slot)
    held = [
        holds.place(id=uuid4(), payer=ada, amount=100, purpose="job", authorisation=BY, expires_at=NOW + slot, now=NOW)
        for _ in range(4)
    ]
    for i, (hold, units) in enumerate(zip(held, (40, 40, 100), strict=False)):
        settlement.settle_chunk(hold.pk, task_id=f"tsk_{i}", provider_accounts=[bert], amount=units, now=NOW)
    holds.void(held[1].pk, now=NOW)
    blocks.seal_due(NOW + 4 * slot)
    holds.void(held[3].pk, now=NOW)
    return held[0]
