"""What is done about conduct by the clock; each task can run again, and at once with itself, without counting twice."""

import logging

from celery import shared_task

from apps.operators import bans, node_mail, uptime
from workers.protocol.clock import utcnow

logger = logging.getLogger(__name__)


@shared_task
def sweep_bans() -> None:
    """End bans whose time is up, and stop nodes that slipped in beside one."""
    ended, stopped = bans.sweep(utcnow())
    if ended or stopped:
        logger.info("Bans swept", extra={"ended": ended, "stopped": stopped})


@shared_task
def mail_of_nodes() -> None:
    """Tell operators of nodes that stay offline, once, and once when they are back."""
    told = node_mail.sweep(utcnow())
    if any(told):
        logger.info("Operators told of nodes", extra={"offline": told[0], "back": told[1]})


@shared_task
def credit_uptime() -> None:
    """Count the last whole hours online."""
    counted = uptime.credit_hours(utcnow())
    if counted:
        logger.info("Hours online counted", extra={"nodes": counted})


@shared_task
def decay_reputation() -> None:
    """Decay each score, once a UTC day."""
    decayed = uptime.decay_all(utcnow())
    if decayed:
        logger.info("Scores decayed", extra={"nodes": decayed})
