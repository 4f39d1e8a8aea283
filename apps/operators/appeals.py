"""Appeals against bans: whoever is banned says what speaks against it, staff answer."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from apps.core import events, parameters
from apps.core.models import User
from apps.ledger.retries import retried
from apps.operators import bans
from apps.operators.errors import AppealClosed, AppealMissing, BanInvalid, BanOver, ReasonMissing, SelfBan
from apps.operators.models import Appeal, Ban
from workers.protocol.ids import new_id


@dataclass(frozen=True)
class Case:
    """A ban as whoever is banned sees it."""

    ban: Ban
    stands: bool
    appeals: list[Appeal]

    @property
    def can_appeal(self) -> bool:
        """Whether another appeal is open to them."""
        waiting = any(appeal.answered_at is None for appeal in self.appeals)
        return self.stands and not waiting and len(self.appeals) < parameters.get("operators.appeals_of_a_ban")


def cases_of(user: User, now: datetime) -> list[Case]:
    """All bans that concern an account, the newest first, with their appeals; a fixed number of queries."""
    rows = Ban.objects.with_people().prefetch_related("appeals")
    own = list(rows.filter(Q(user=user) | Q(node__operator__user=user)))
    of_addresses = list(rows.exclude(address=""))
    holders = bans.accounts_of(ban.address for ban in of_addresses) if of_addresses else {}
    own += [ban for ban in of_addresses if holders.get(ban.address) == user.pk]
    own.sort(key=lambda ban: ban.at, reverse=True)
    return [Case(ban, ban.stands(now), list(ban.appeals.all())) for ban in own]


@retried
@transaction.atomic(durable=True)
def appeal(ban: Ban, by: User, text: str, now: datetime) -> Appeal:
    """Say what speaks against a ban of one's own.

    Raises AppealMissing, AppealClosed, BanOver or, for others than the banned, BanInvalid.
    """
    if by.pk not in bans.concerned(ban.user, ban.node, ban.address):
        raise BanInvalid("Only whoever is banned can appeal.")
    if not text.strip():
        raise AppealMissing
    # Locked, so that appeals are counted one after another.
    if not Ban.objects.select_for_update().standing(now).filter(pk=ban.pk).exists():
        raise BanOver
    if ban.appeals.open().exists() or ban.appeals.count() >= parameters.get("operators.appeals_of_a_ban"):
        raise AppealClosed
    made = Appeal.objects.create(id=new_id("apl", now), ban=ban, by=by, text=text.strip(), at=now)
    topics = ["admin", f"user.{by.pk}"]
    events.emit("ban.appealed", subject=ban.pk, topics=topics, data={"appeal": made.pk}, now=now, actor=by)
    return made


@retried
@transaction.atomic(durable=True)
def answer(made: Appeal, actor: User, text: str, now: datetime, *, granted: bool) -> None:
    """Grant an appeal, which lifts the ban, or turn it down; either with words.

    Raises ReasonMissing, SelfBan, or AppealClosed where somebody was faster.
    """
    if not text.strip():
        raise ReasonMissing
    if actor.pk == made.by_id:
        raise SelfBan
    bans.close_appeal(made, actor, text.strip(), now, granted=granted)
    if granted:
        bans.end(made.ban, text.strip(), now, actor)
