"""The genesis document of this network, assembled where settings and rooms meet and handed to the ledger as data."""

from datetime import datetime
from typing import Any

from django.conf import settings

from apps.core import platform_keys
from apps.ledger import genesis
from apps.models import catalog


def document(timestamp: datetime) -> dict[str, Any]:
    """What this network starts with; the same moment, settings and catalogue give the same document.

    A network whose models were published before it began names them, and the hashes of their files.
    """
    versions = list(catalog.active_versions())
    return genesis.document(
        network=platform_keys.network_id(),
        testnet=settings.IS_TESTNET,
        timestamp=timestamp,
        block_seconds=settings.BLOCK_SECONDS,
        models=[
            {"name": one.model.name, "version": one.version, "task": one.model.task, "licence": one.model.licence}
            for one in versions
        ],
        shards=[
            {"model": one.model.name, "version": one.version, "name": file["name"], "sha256": file["sha256"]}
            for one in versions
            for file in one.files
        ],
    )
