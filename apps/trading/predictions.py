"""What models said to oracles in a round: kept beside it, one of each node."""

from datetime import datetime

from django.db import transaction

from apps.trading.models import Prediction, Round
from apps.trading.rounds import committee_of
from apps.trading.rounds_errors import PredictionRefused, RoundUnknown
from apps.trading.rounds_relay import seat_of
from workers.protocol.clock import from_unix_ms
from workers.protocol.ids import new_id
from workers.protocol.messages import ConsensusPrediction

UNITS = 10**8
ACTIONS = {"BUY", "SELL", "HOLD"}


@transaction.atomic(durable=True)
def store(said: ConsensusPrediction, node_id: str, now: datetime) -> bool:
    """Keep a seated node's prediction; False where there is one. Raises RoundUnknown, NotSeated, PredictionRefused."""
    # Locked, so that a prediction sent twice is kept once.
    row = Round.objects.select_for_update().filter(pk=said.round).first()
    if row is None:
        raise RoundUnknown
    seat_of(committee_of(row.pk), node_id)
    if said.action not in ACTIONS or said.symbol != row.subject.get("symbol"):
        raise PredictionRefused(f"{said.action} {said.symbol} was not asked for.")
    if Prediction.objects.filter(round=row, node=node_id).exists():
        return False
    Prediction.objects.create(
        id=new_id("prd", now),
        round=row,
        node_id=node_id,
        symbol=said.symbol,
        action=said.action,
        confidence=said.confidence_bp / 10_000,
        price=int(said.price) / UNITS,
        target_price=None if said.target_price is None else int(said.target_price) / UNITS,
        stop_loss=None if said.stop_loss is None else int(said.stop_loss) / UNITS,
        horizon_s=said.horizon_s,
        features_sha256=said.features_sha256,
        model=said.model[:120],
        version=said.version[:40],
        reasoning=said.reasoning,
        market_at=from_unix_ms(said.market_at),
    )
    return True
