"""What an oracle does with its seat in a round: silence costs reputation, and a vote for what was agreed earns some.

Never stake, since the platform relays.
"""

from collections import Counter
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from apps.operators import reputation
from apps.operators.models import ReputationChange, ReputationKind
from apps.trading import rounds
from apps.trading.models import Round, RoundMessage, RoundStatus
from workers.consensus.messages import PRECOMMIT, value_of
from workers.protocol.envelope import unverified_payload

# Rounds whose time ended longer ago are let be: whoever swept late may have relayed late as well.
LOOKED_BACK = timedelta(minutes=10)


def over(now: datetime) -> QuerySet[Round]:
    """The rounds whose time ended lately."""
    return Round.objects.filter(deadline_at__lte=now, deadline_at__gt=now - LOOKED_BACK)


def judge(now: datetime) -> int:
    """Charge each silent seat of the rounds whose time is over, once a round; returns how many were charged.

    Where nobody was heard, it is no oracle's fault.
    """
    charged = 0
    for row in over(now):
        heard = set(RoundMessage.objects.filter(round=row).values_list("signer", flat=True))
        for member in row.members if heard else ():
            if member["owner"] not in heard:
                detail, key = f"It was silent in round {row.pk}.", f"round:{row.pk}"
                charged += reputation.record(member["node"], ReputationKind.ABANDONED, now, detail, key) is not None
    return charged


def praise(now: datetime) -> int:
    """Credit each seat that voted in time for what a round agreed on, once a round; returns how many were credited."""
    found = {f"vote:{row.pk}": row for row in over(now).filter(status=RoundStatus.CERTIFIED)}
    nodes = {member["node"] for row in found.values() for member in row.members}
    # A round's lines are written together: where one is, all are.
    known = set(ReputationChange.objects.filter(node__in=nodes, key__in=found).values_list("key", flat=True))
    credited = 0
    for key, row in found.items():
        if key in known:
            continue
        with transaction.atomic():
            for node_id in sorted(voters(row)):
                detail = f"It voted for what round {row.pk} agreed on."
                credited += reputation.record(node_id, ReputationKind.VOTE, now, detail, key) is not None
    return credited


def voters(row: Round) -> set[str]:
    """The nodes whose precommit came in time and is for the outcome; none of an owner who signed two in one view."""
    agreed = value_of(rounds.frozen(row), row.outcome or {})
    said = list(row.messages.filter(step=PRECOMMIT))
    places = Counter((one.signer, one.view) for one in said)
    twice = {signer for (signer, _view), count in places.items() if count > 1}
    return {
        one.node_id
        for one in said
        if one.node_id and one.signer not in twice and one.received_at <= row.deadline_at and value_in(one) == agreed
    }


def value_in(message: RoundMessage) -> str:
    """What a stored vote is for; its signature was checked when it came."""
    return str(unverified_payload(message.envelope)["body"]["value"])
