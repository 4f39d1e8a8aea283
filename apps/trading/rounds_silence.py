"""Oracles that had a seat in a round and were silent: it costs reputation, never stake, since the platform relays."""

from datetime import datetime, timedelta

from apps.operators import reputation
from apps.operators.models import ReputationKind
from apps.trading.models import Round, RoundMessage

# Rounds whose time ended longer ago are let be: whoever swept late may have relayed late as well.
LOOKED_BACK = timedelta(minutes=10)


def judge(now: datetime) -> int:
    """Charge each silent seat of the rounds whose time is over, once a round; returns how many were charged.

    Where nobody was heard, it is no oracle's fault.
    """
    charged = 0
    for row in Round.objects.filter(deadline_at__lte=now, deadline_at__gt=now - LOOKED_BACK):
        heard = set(RoundMessage.objects.filter(round=row).values_list("signer", flat=True))
        for member in row.members if heard else ():
            if member["owner"] not in heard:
                detail, key = f"It was silent in round {row.pk}.", f"round:{row.pk}"
                charged += reputation.record(member["node"], ReputationKind.ABANDONED, now, detail, key) is not None
    return charged
