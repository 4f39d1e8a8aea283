"""How execution speaks to a venue: what was answered, in our terms. ccxt is loaded with the first question."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from apps.trading.models import Order

ORDER, UNKNOWN, MISSING, REJECTED = "order", "unknown", "missing", "rejected"


@dataclass(frozen=True)
class VenueTrade:
    """One fill as the venue has it."""

    id: str
    quantity: Decimal
    price: Decimal
    fee_usd: Decimal
    at: datetime


@dataclass(frozen=True)
class Answer:
    """What the venue said about an order.

    `outcome`: "order": it has it, as told here; "rejected": it never will; "missing": it has none of that id;
    "unknown": nobody can tell yet.
    """

    outcome: str
    reason: str = ""
    venue_order_id: str = ""
    status: str = ""
    fills: tuple[VenueTrade, ...] = field(default=())


def paper(now: datetime) -> Any:
    """The paper exchange at market time `now`."""
    from apps.trading.exchange.paper import PaperExchange

    return PaperExchange({"market_now": now})


def send(exchange: Any, order: Order, time_in_force: str) -> Answer:
    """Send an order, once. What may have reached the venue, or not, is unknown; only its plain no is a rejection."""
    import ccxt

    symbol = order.plan.pair.replace("-", "/")
    params = {"clientOrderId": order.pk, "timeInForce": time_in_force}
    quantity, limit = float(order.quantity), float(order.limit_price)
    try:
        said = exchange.create_order(symbol, "limit", order.side.lower(), quantity, limit, params)
    except ccxt.DuplicateOrderId:
        return ask(exchange, order)
    except (ccxt.InvalidOrder, ccxt.InsufficientFunds, ccxt.BadRequest, ccxt.AuthenticationError) as error:
        return Answer(REJECTED, _words(error))
    except ccxt.BaseError as error:
        return Answer(UNKNOWN, _words(error))
    return read(said)


def ask(exchange: Any, order: Order) -> Answer:
    """Ask the venue what became of an order, by our id."""
    import ccxt

    symbol = order.plan.pair.replace("-", "/")
    try:
        said = exchange.fetch_order(None, symbol, {"clientOrderId": order.pk})
    except ccxt.OrderNotFound as error:
        return Answer(MISSING, _words(error))
    except ccxt.BaseError as error:
        return Answer(UNKNOWN, _words(error))
    return read(said)


def read(said: dict[str, Any]) -> Answer:
    """ccxt's order as an answer; exact decimals where the venue gave them."""
    if said["status"] == "rejected":
        return Answer(REJECTED, str(said["info"].get("reason") or "The venue rejected it."), str(said["id"]))
    fills = tuple(_trade(trade) for trade in said.get("trades") or [])
    reason = str((said.get("info") or {}).get("reason") or "")
    return Answer(ORDER, reason, str(said["id"]), str(said["status"]), fills)


def _trade(trade: dict[str, Any]) -> VenueTrade:
    info = trade.get("info") or {}
    fee = (trade.get("fee") or {}).get("cost") or 0
    return VenueTrade(
        id=str(trade["id"]),
        quantity=Decimal(info.get("amount") or repr(trade["amount"])),
        price=Decimal(info.get("price") or repr(trade["price"])),
        fee_usd=Decimal(info.get("fee") or repr(fee)),
        at=datetime.fromtimestamp(trade["timestamp"] / 1000, UTC),
    )


def errors() -> type[Exception]:
    """What a venue raises."""
    import ccxt

    found: type[Exception] = ccxt.BaseError
    return found


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
