"""What the ledger's tests share."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from apps.ledger.models import Account
from apps.ledger.posting import NewTransfer

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BY = {"by": "platform", "request": "test"}
Fund = Callable[[Account, int], None]


def move(payer: Account, payee: Account, units: int, **changes: Any) -> NewTransfer:
    """A transfer under a new id."""
    return replace(NewTransfer(uuid4(), payer.pk, payee.pk, units, "test", BY), **changes)


def balances(*held: Account) -> list[int]:
    """What the accounts hold by now."""
    return [Account.objects.get(pk=account.pk).balance for account in held]
