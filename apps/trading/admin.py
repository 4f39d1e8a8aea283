"""Admin of trading: what is watched may be changed; everything that was measured, decided or done is only looked at."""

from django.apps import apps
from django.contrib import admin
from unfold.admin import ModelAdmin

from apps.core.admin import ReadOnlyAdmin
from apps.trading.models import (
    Candle,
    CandleFault,
    Decision,
    EquityMark,
    Fill,
    MarketClock,
    Order,
    Outcome,
    Plan,
    Position,
    Prediction,
    Reconciliation,
    Round,
    RoundMessage,
    Scan,
    ScanRun,
    ScanTarget,
    Signal,
    StateChange,
    TradingState,
    TrainedModel,
    VenueAccount,
    VenueFault,
    VenueFill,
    VenueOrder,
)


@admin.register(ScanTarget)
class ScanTargetAdmin(ModelAdmin):  # type: ignore[misc]
    """Hosts whose path is watched, and the pairs that they stand for."""

    list_display = ["host", "category", "pairs", "active"]
    list_filter = ["active", "category"]
    search_fields = ["host"]


@admin.register(Scan)
class ScanAdmin(ReadOnlyAdmin):
    """Paths as they were measured."""

    list_display = ["id", "target", "vantage", "region", "source", "method", "total_rtt_ms", "measured_at"]
    list_filter = ["source", "method", "region"]
    search_fields = ["id", "target__host", "vantage"]
    list_select_related = ["target"]
    show_full_result_count = False


@admin.register(ScanRun)
class ScanRunAdmin(ReadOnlyAdmin):
    """Scans that nodes were asked for, and what became of those that failed."""

    list_display = ["id", "target", "node", "method", "due_at", "sent_at", "answered_at", "error"]
    search_fields = ["id", "target__host", "node__name", "error"]
    list_select_related = ["target", "node"]
    show_full_result_count = False


@admin.register(Signal)
class SignalAdmin(ReadOnlyAdmin):
    """What the detectors said, and whether it was acted on."""

    list_display = ["id", "kind", "pair", "direction", "confidence", "status", "reason", "market_at"]
    list_filter = ["status", "kind", "direction", "source"]
    search_fields = ["id", "pair", "target__host"]
    list_select_related = ["target"]
    show_full_result_count = False


@admin.register(Outcome)
class OutcomeAdmin(ReadOnlyAdmin):
    """What came of signals."""

    list_display = ["signal", "entry_price", "exit_price", "pnl", "pnl_after_fees", "correct", "judged_at"]
    list_filter = ["correct"]
    search_fields = ["signal__id", "signal__pair"]
    list_select_related = ["signal"]


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    """What models said to oracles."""

    list_display = ["id", "symbol", "action", "confidence", "price", "model", "version", "node", "market_at"]
    list_filter = ["action", "model"]
    search_fields = ["id", "symbol", "model", "round__id"]
    list_select_related = ["node"]


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    """What risk decided, and by which rule."""

    list_display = ["id", "stage", "verdict", "rule", "pair", "size_usd", "reason", "market_at"]
    list_filter = ["verdict", "stage", "rule", "profile"]
    search_fields = ["id", "signal__id", "plan__id", "pair"]
    list_select_related = ["signal", "plan"]
    show_full_result_count = False


@admin.register(TradingState)
class TradingStateAdmin(ReadOnlyAdmin):
    """The state of trading; staff change it on the desk, with a reason."""

    list_display = ["state", "rule", "reason", "flattening", "until", "changed_at"]
    search_fields = ["state", "rule", "reason"]


@admin.register(StateChange)
class StateChangeAdmin(ReadOnlyAdmin):
    """Every change of the state, by whom and why."""

    list_display = ["at", "old", "new", "rule", "reason", "actor", "market_at"]
    list_filter = ["new", "rule"]
    search_fields = ["rule", "reason", "actor__email"]
    list_select_related = ["actor"]


@admin.register(EquityMark)
class EquityMarkAdmin(ReadOnlyAdmin):
    """Equity over market time."""

    list_display = ["market_at", "equity_usd", "pnl_usd", "exposure_usd"]
    list_filter = ["market_at"]
    search_fields = ["=id"]
    show_full_result_count = False


@admin.register(Round)
class RoundAdmin(ReadOnlyAdmin):
    """Consensus rounds."""

    list_display = ["id", "status", "signal", "view", "reason", "started_at", "finished_at"]
    list_filter = ["status"]
    search_fields = ["id", "signal__id"]
    list_select_related = ["signal"]


@admin.register(RoundMessage)
class RoundMessageAdmin(ReadOnlyAdmin):
    """Signed messages of the oracles, as they came."""

    list_display = ["round", "signer", "step", "view", "digest", "received_at"]
    list_filter = ["step"]
    search_fields = ["round__id", "signer", "digest"]
    list_select_related = ["round"]
    show_full_result_count = False


@admin.register(Plan)
class PlanAdmin(ReadOnlyAdmin):
    """Plans and how far they are carried out."""

    list_display = ["id", "purpose", "pair", "side", "status", "quantity", "filled_quantity", "reason", "created_at"]
    list_filter = ["status", "purpose", "side"]
    search_fields = ["id", "signal__id", "round__id"]


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    """Slices' orders; the id is the client's."""

    list_display = ["id", "plan", "slice", "side", "status", "quantity", "filled_quantity", "venue", "market_at"]
    list_filter = ["status", "side", "venue"]
    search_fields = ["id", "plan__id", "venue_order_id"]
    list_select_related = ["plan"]
    show_full_result_count = False


@admin.register(Fill)
class FillAdmin(ReadOnlyAdmin):
    """Executions at the venue."""

    list_display = ["venue_fill_id", "order", "quantity", "price", "fee_usd", "market_at"]
    search_fields = ["venue_fill_id", "order__id"]
    list_select_related = ["order"]
    show_full_result_count = False


@admin.register(Position)
class PositionAdmin(ReadOnlyAdmin):
    """What is and was held."""

    list_display = ["id", "pair", "quantity", "entry_price", "opened_at", "closed_at", "exit_reason", "realised_pnl"]
    list_filter = ["pair", "exit_reason"]
    search_fields = ["id", "signal__id"]


@admin.register(Candle)
class CandleAdmin(ReadOnlyAdmin):
    """Bars as the sources gave them."""

    list_display = ["pair", "opened_at", "open", "high", "low", "close", "volume", "venue", "source"]
    list_filter = ["source", "venue", "pair"]
    search_fields = ["pair", "venue"]
    show_full_result_count = False


@admin.register(CandleFault)
class CandleFaultAdmin(ReadOnlyAdmin):
    """Gaps and bad rows of market data."""

    list_display = ["seen_at", "pair", "fault", "bars", "opened_at", "detail", "venue", "source"]
    list_filter = ["fault", "source", "venue", "pair"]
    search_fields = ["pair", "fault", "detail"]


@admin.register(MarketClock)
class MarketClockAdmin(ReadOnlyAdmin):
    """What time the market has."""

    list_display = ["source", "market_at", "ends_at", "label", "moved_at"]
    search_fields = ["source", "label"]


@admin.register(TrainedModel)
class TrainedModelAdmin(ReadOnlyAdmin):
    """What was trained, and whether it serves."""

    list_display = ["id", "name", "objective", "pair", "serving", "reason", "trained_at"]
    list_filter = ["serving", "objective", "pair"]
    search_fields = ["id", "name", "sha256"]


@admin.register(VenueAccount)
class VenueAccountAdmin(ReadOnlyAdmin):
    """What the paper exchange holds for us."""

    list_display = ["venue", "currency", "total", "deposited"]
    list_filter = ["venue"]
    search_fields = ["venue", "currency"]


@admin.register(VenueOrder)
class VenueOrderAdmin(ReadOnlyAdmin):
    """Orders as the paper exchange has them."""

    list_display = ["client_id", "venue", "pair", "side", "status", "quantity", "filled", "reason", "market_at"]
    list_filter = ["status", "side", "venue"]
    search_fields = ["client_id", "pair", "reason"]
    show_full_result_count = False


@admin.register(VenueFill)
class VenueFillAdmin(ReadOnlyAdmin):
    """Executions as the paper exchange has them."""

    list_display = ["id", "order", "quantity", "price", "fee_usd", "market_at"]
    list_filter = ["market_at"]
    search_fields = ["order__client_id", "order__pair"]
    list_select_related = ["order"]
    show_full_result_count = False


@admin.register(VenueFault)
class VenueFaultAdmin(ReadOnlyAdmin):
    """What the paper exchange will do wrong next."""

    list_display = ["venue", "kind", "left"]
    list_filter = ["kind", "venue"]
    search_fields = ["venue"]


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    """Whether our books and the venue's agreed."""

    list_display = ["at", "venue", "ok", "orders", "market_at"]
    list_filter = ["ok", "venue", "at"]
    search_fields = ["venue"]
    show_full_result_count = False


# Whatever else there is of trading is looked at too, by its own words.
for model in apps.get_app_config("trading").get_models():
    if not admin.site.is_registered(model):
        admin.site.register(model, ReadOnlyAdmin)
