"""The ledger's cast: Ada and Bert have wallets, the mint can fill them."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from django.db import transaction
from pytest_django import Settings

from apps.core import platform_keys
from apps.core.models import User
from apps.ledger import accounts, genesis
from apps.ledger.models import Account, Block
from apps.ledger.posting import post_all
from tests.apps.ledger.cast import NOW, Fund, move


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
