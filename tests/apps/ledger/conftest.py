"""The ledger's cast: Ada and Bert have wallets, the mint can fill them."""

from datetime import datetime

import pytest
from django.db import transaction

from apps.core.models import User
from apps.ledger import accounts
from apps.ledger.models import Account
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
