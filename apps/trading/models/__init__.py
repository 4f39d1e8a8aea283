"""Rows of trading, by what they are about."""

from apps.trading.models.decisions import Decision, EquityMark, State, StateChange, TradingState, Verdict
from apps.trading.models.markets import Candle, CandleFault, MarketClock, Source
from apps.trading.models.orders import Fill, Order, OrderStatus, Plan, PlanStatus, Position, Purpose, Side
from apps.trading.models.rounds import Round, RoundMessage, RoundStatus
from apps.trading.models.scans import Scan, ScanRun, ScanTarget
from apps.trading.models.signals import Direction, Outcome, Prediction, Signal, SignalKind, SignalStatus
from apps.trading.models.training import Objective, TrainedModel
from apps.trading.models.venue import Reconciliation, VenueAccount, VenueFault, VenueFill, VenueOrder

__all__ = [
    "Candle",
    "CandleFault",
    "Decision",
    "Direction",
    "EquityMark",
    "Fill",
    "MarketClock",
    "Objective",
    "Order",
    "OrderStatus",
    "Outcome",
    "Plan",
    "PlanStatus",
    "Position",
    "Prediction",
    "Purpose",
    "Reconciliation",
    "Round",
    "RoundMessage",
    "RoundStatus",
    "Scan",
    "ScanRun",
    "ScanTarget",
    "Side",
    "Signal",
    "SignalKind",
    "SignalStatus",
    "Source",
    "State",
    "StateChange",
    "TradingState",
    "TrainedModel",
    "VenueAccount",
    "VenueFault",
    "VenueFill",
    "VenueOrder",
    "Verdict",
]
