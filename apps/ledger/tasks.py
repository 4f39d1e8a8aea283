"""What the `ledger` queue does by the clock."""

import logging

from celery import shared_task

from apps.ledger import blocks, genesis, holds
from workers.protocol.clock import utcnow

logger = logging.getLogger(__name__)


@shared_task
def seal_blocks() -> None:
    """Seal a block once its slot has begun; a network without genesis has nothing to seal."""
    if genesis.exists() and (block := blocks.seal_due(utcnow())):
        logger.info("Block sealed", extra={"height": block.height, "count": block.count})


@shared_task
def expire_holds() -> None:
    """Give back what is left of holds past their time."""
    if expired := holds.expire_due(now=utcnow()):
        logger.info("Holds expired", extra={"count": len(expired)})
