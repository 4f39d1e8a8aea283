"""What the `ledger` queue does by the clock, and when asked."""

import logging
from datetime import datetime
from functools import partial

from celery import shared_task
from django.db import transaction

from apps.core import events
from apps.core.models import User
from apps.ledger import audit, blocks, escrow, genesis, holds, rewards, slashing
from apps.ledger.errors import AuditRunning
from apps.ledger.models import AuditRun
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


@shared_task
def settle_epochs() -> None:
    """Mint and share the emission of the days that are over."""
    for epoch in rewards.close_due(utcnow()):
        logger.info("Epoch settled", extra={"day": epoch.day.isoformat(), "minted": epoch.minted})


@shared_task
def release_escrow() -> None:
    """Release rewards and slashed stakes whose time in escrow is over."""
    now = utcnow()
    released, executed = escrow.release_due(now=now), slashing.execute_due(now=now)
    if released or executed:
        logger.info("Escrow released", extra={"rewards": len(released), "slashes": len(executed)})


@shared_task
def audit_nightly() -> None:
    """Ask for an audit and carry it out, unless one is under way."""
    try:
        run_id = audit.begin(utcnow()).pk
    except AuditRunning:
        logger.info("The nightly audit is left out: another one is under way")
        return
    audit_ledger(run_id)


def ask_for_audit(by: User | None, now: datetime) -> AuditRun:
    """Ask for an audit, which the queue carries out after commit. Raises AuditRunning while another is under way."""
    with transaction.atomic():
        asked = audit.begin(now, by)
        events.emit("ledger.audit_asked", subject=f"audit:{asked.pk}", topics=["admin"], data={}, now=now, actor=by)
        transaction.on_commit(partial(audit_ledger.delay, asked.pk))
    return asked


@shared_task
def audit_ledger(run_id: int) -> None:
    """Check the whole ledger, keep report and export, and show them to whoever watches."""
    done = audit.execute(run_id, utcnow())
    if done is None or done.report is None:
        return
    broken = [check["name"] for check in done.report["checks"] if not check["ok"]]
    logger.log(logging.ERROR if broken else logging.INFO, "Ledger audited", extra={"ok": done.ok, "broken": broken})
