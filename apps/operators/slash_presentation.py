"""What the pages of slashes show: each case with what it took, what it stands on, and what its owner can do."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from apps.core import parameters
from apps.core.models import User
from apps.ledger import accounts
from apps.ledger.models import Slash, SlashStatus
from apps.operators import slash_appeals
from apps.operators.models import SlashAppeal, SlashCase

ROWS_SHOWN = 50


@dataclass(frozen=True)
class Shown:
    """A slash; `case` is what is known of its fault, None where it was not by evidence."""

    slash: Slash
    case: SlashCase | None
    appeal: SlashAppeal | None
    percent: str
    reason: str
    next_step: str
    can_appeal: bool


def slashes_of(user: User, now: datetime) -> list[Shown]:
    """The slashes of an account's stake, the newest first; one query."""
    rows = Slash.objects.filter(account__owner=accounts.owner_of(user))
    return [shown(row, now) for row in rows.select_related("case__evidence", "case__node", "case__appeal")[:ROWS_SHOWN]]


def shown(slash: Slash, now: datetime) -> Shown:
    """A slash in words."""
    case = getattr(slash, "case", None)
    appeal = getattr(case, "appeal", None)
    can_appeal = case is not None and slash_appeals.can_appeal(slash, now)
    reason, next_step = words(slash, now, can_appeal=can_appeal)
    percent = f"{slash.share_bp / 100:g}"
    return Shown(slash, case, appeal, percent, reason, next_step, can_appeal)


def words(slash: Slash, now: datetime, *, can_appeal: bool) -> tuple[str, str]:
    """How it stands, and what comes next."""
    status = SlashStatus(slash.status)
    if status == SlashStatus.APPEALED:
        return _("You have appealed; the stake waits in escrow."), _("Staff answer here and by mail.")
    if status == SlashStatus.OVERTURNED:
        return _("Your appeal was granted: it is at stake again."), ""
    if status == SlashStatus.EXECUTED:
        return _("It is final: half was burnt, half went to the treasury."), ""
    if can_appeal:
        until = f"{slash.final_at:%Y-%m-%d %H:%M}"
        return _("It waits in escrow."), _("Appeal until %(until)s UTC if it is wrong.") % {"until": until}
    return _("It waits in escrow."), _("It becomes final by itself.") if slash.final_at > now else _(
        "It is about to end."
    )


def case_context(user: User, case: SlashCase, now: datetime) -> dict[str, Any]:
    """The page of one slash."""
    return {
        "one": shown(case.slash, now),
        "case": case,
        "bond_units": parameters.get("slashing.appeal_bond"),
        "balance_units": accounts.balance(user),
    }
