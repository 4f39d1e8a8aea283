"""The genesis document of this network, assembled where settings and rooms meet and handed to the ledger as data."""

from datetime import datetime
from typing import Any

from django.conf import settings

from apps.core import platform_keys
from apps.ledger import genesis


def document(timestamp: datetime) -> dict[str, Any]:
    """What this network starts with; the same moment and settings give the same document."""
    return genesis.document(
        network=platform_keys.network_id(),
        testnet=settings.IS_TESTNET,
        timestamp=timestamp,
        block_seconds=settings.BLOCK_SECONDS,
    )
