"""The paper exchange: a `ccxt.Exchange` that opens no socket and keeps its books in rows.

It loads ccxt: import it where an exchange is needed, never where Django starts. Its time is the market's, given with
the configuration. Limit orders only, IOC or FOK; what matches, and how, is in `book`.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Any, NoReturn

import ccxt
from django.db import transaction
from django.db.models import F, Sum

from apps.core import parameters
from apps.trading import candles
from apps.trading.exchange import book
from apps.trading.models import Candle, Side, VenueAccount, VenueFault, VenueFill, VenueOrder
from apps.trading.models.orders import PLACES
from workers.protocol.clock import unix_ms

NAME = "paper"
USD = "USD"
PAIRS = ("BTC-USD", "ETH-USD", "SOL-USD")
TICK, LOT = Decimal("0.01"), Decimal("0.00000001")
CENT = Decimal("0.01")
UNIT = Decimal(1).scaleb(-PLACES)
SHORTEST_MS = 10
IOC, FOK = "IOC", "FOK"
Kind = VenueFault.Kind
Status = VenueOrder.Status


@dataclass(frozen=True)
class Wanted:
    """What an order asks for."""

    client_id: str
    pair: str
    side: str
    quantity: Decimal
    limit: Decimal
    force: str


class PaperExchange(ccxt.Exchange):  # type: ignore[misc]
    """`PaperExchange({"market_now": …})`. Amounts come and go as ccxt's floats; `info` holds them as exact decimals.

    A client order id is taken once: sent again, the first order is the answer. Raises ccxt's errors, of which
    NetworkError and its kin leave open what became of the order, exactly as at a real venue.
    """

    settles_s = 0

    def __init__(self, config: dict[str, Any]) -> None:
        given = dict(config)
        self.market_now: datetime = given.pop("market_now")
        super().__init__(given)

    def describe(self) -> Any:
        """What ccxt wants to know of a venue."""
        has = dict.fromkeys(
            ("createOrder", "fetchOrder", "fetchOrders", "fetchMyTrades", "fetchBalance", "fetchOrderBook"), True
        )
        return self.deep_extend(
            super().describe(),
            {
                "id": NAME,
                "name": "Paper",
                "enableRateLimit": False,
                "has": has | {"fetchMarkets": True, "cancelOrder": False, "spot": True, "sandbox": True},
                "precisionMode": ccxt.TICK_SIZE,
                "requiredCredentials": {"apiKey": False, "secret": False},
            },
        )

    def set_sandbox_mode(self, enabled: bool) -> None:
        """It is a sandbox and cannot be left; no line of this class could reach a real venue."""
        if not enabled:
            raise ccxt.NotSupported("The paper exchange is a sandbox for good.")
        self.isSandboxModeEnabled = True

    def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> NoReturn:
        """There is no network behind it."""
        raise ccxt.NotSupported(f"The paper exchange does not ask {url}.")

    def fetch_markets(self, params: dict[str, Any] | None = None) -> list[Any]:
        """The spot markets, with tick, lot, fee and smallest order."""
        least = Decimal(parameters.get("risk.venue_minimum_cents")) * CENT
        fee = float(fee_rate())
        return [self._market(*pair.split("-"), fee=fee, least=float(least)) for pair in PAIRS]

    def _market(self, base: str, quote: str, *, fee: float, least: float) -> Any:
        return self.safe_market_structure(
            {
                "id": f"{base}-{quote}", "symbol": f"{base}/{quote}", "base": base, "quote": quote, "baseId": base,
                "quoteId": quote, "active": True, "type": "spot", "spot": True, "taker": fee, "maker": fee,
                "precision": {"amount": float(LOT), "price": float(TICK)},
                "limits": {"amount": {"min": float(LOT)}, "cost": {"min": least}},
            }
        )  # fmt: skip

    # Looking

    def fetch_order_book(self, symbol: str, limit: int | None = None, params: dict[str, Any] | None = None) -> Any:
        """Both sides as an order without a way would meet them, before slippage; empty over a gap."""
        self._away()
        bar = self._bar(symbol)
        rules = self._rules(slippage_bp=0)
        sides = {
            name: [[float(level.price), float(level.quantity)] for level in book.ladder(bar, rules, side, 0)]
            if bar
            else []
            for name, side in (("asks", Side.BUY), ("bids", Side.SELL))
        }
        return {"symbol": symbol, "timestamp": unix_ms(self.market_now), "nonce": None, **sides}

    def fetch_balance(self, params: dict[str, Any] | None = None) -> Any:
        """What it holds for us; nothing is ever locked, since no order rests."""
        self._away()
        with transaction.atomic():
            account(USD)
        totals = VenueAccount.objects.filter(venue=NAME).values_list("currency", "total")
        found: dict[str, Any] = {currency: {"total": float(total), "used": 0.0} for currency, total in totals}
        return self.safe_balance(found | {"info": {currency: str(total) for currency, total in totals}})

    def fetch_order(self, id: str | None, symbol: str | None = None, params: dict[str, Any] | None = None) -> Any:  # noqa: A002  ccxt's name
        """One order by the venue's id or, as params["clientOrderId"], by ours. Raises ccxt.OrderNotFound."""
        self._away()
        client = (params or {}).get("clientOrderId")
        rows = VenueOrder.objects.filter(venue=NAME)
        row = rows.filter(client_id=client).first() if client else rows.filter(pk=int(id or 0)).first()
        if row is None:
            raise ccxt.OrderNotFound(f"There is no order {client or id}.")
        return self._order(row)

    def fetch_orders(
        self,
        symbol: str | None = None,
        since: int | None = None,
        limit: int | None = None,
        params: dict[str, Any] | None = None,
    ) -> list[Any]:
        """The latest orders, oldest first."""
        self._away()
        rows = VenueOrder.objects.filter(venue=NAME).prefetch_related("fills")
        if symbol is not None:
            rows = rows.filter(pair=symbol.replace("/", "-"))
        if since is not None:
            rows = rows.filter(market_at__gte=self._moment(since))
        return [self._order(row) for row in reversed(rows.order_by("-pk")[: limit or 1_000])]

    def _moment(self, ms: int) -> datetime:
        return self.market_now + timedelta(milliseconds=ms - unix_ms(self.market_now))

    # Trading

    def create_order(
        self,
        symbol: str,
        type: str,  # noqa: A002  ccxt's name
        side: str,
        amount: float,
        price: float | None = None,
        params: dict[str, Any] | None = None,
    ) -> Any:
        """Take a limit order, match it against the book, and answer with what became of it."""
        given = params or {}
        client, force = str(given.get("clientOrderId") or ""), given.get("timeInForce", IOC)
        self._away()
        if _strikes(Kind.LOST):
            raise ccxt.RequestTimeout("The order was lost on its way.")
        if type != "limit" or price is None or force not in (IOC, FOK):
            raise ccxt.NotSupported("The paper exchange takes limit orders, IOC or FOK.")
        if not client or len(client) > 64:
            raise ccxt.InvalidOrder("An order needs a client id of at most 64 characters.")
        self.load_markets()
        self.market(symbol)
        pair = symbol.replace("/", "-")
        wanted = Wanted(client, pair, side.upper(), exact(amount), exact(price), force)
        if wanted.side not in (Side.BUY, Side.SELL) or not wanted.quantity > 0 or not wanted.limit > 0:
            raise ccxt.InvalidOrder("Side, amount or price is none.")
        with transaction.atomic():
            row = self._take(wanted)
        if _strikes(Kind.TIMEOUT):
            raise ccxt.RequestTimeout("The answer was lost on its way.")
        if row.status == Status.REJECTED:
            refused = ccxt.InsufficientFunds if row.reason.startswith("Insufficient") else ccxt.InvalidOrder
            raise refused(row.reason)
        return self._order(VenueOrder.objects.get(pk=row.pk))

    def _take(self, wanted: Wanted) -> VenueOrder:
        """The order's row, fills and bookings, once. The lock on the account makes orders wait for one another."""
        usd = account(USD)
        known = VenueOrder.objects.filter(venue=NAME, client_id=wanted.client_id).first()
        if known is not None:
            return known
        latency_ms = latency(wanted.client_id)
        row = VenueOrder(
            venue=NAME,
            client_id=wanted.client_id,
            pair=wanted.pair,
            side=wanted.side,
            time_in_force=wanted.force,
            quantity=wanted.quantity,
            limit_price=wanted.limit,
            status=Status.CANCELED,
            market_at=self.market_now,
            arrived_at=self.market_now + timedelta(milliseconds=latency_ms),
        )
        row.reason = self._wrong(wanted, usd)
        if row.reason:
            row.status = Status.REJECTED
            row.save()
            return row
        fills = self._match(wanted, row, latency_ms)
        row.filled = sum((fill.quantity for fill in fills), Decimal(0))
        row.status = Status.CLOSED if row.filled == row.quantity else Status.CANCELED
        row.save()
        for fill in fills:
            _book(row, fill)
        return row

    def _wrong(self, wanted: Wanted, usd: VenueAccount) -> str:
        """Why the venue rejects an order; empty where it takes it."""
        least = Decimal(parameters.get("risk.venue_minimum_cents")) * CENT
        if wanted.quantity % LOT or wanted.limit % TICK:
            return f"Amounts are multiples of {LOT:f}, prices of {TICK}."
        if wanted.quantity * wanted.limit < least:
            return f"The smallest order is ${least:.2f}."
        if _strikes(Kind.REJECT):
            return "The venue rejects it."
        base = account(wanted.pair.split("-")[0])
        needed = wanted.quantity * wanted.limit * (1 + fee_rate())
        if wanted.side == Side.BUY and usd.total < needed:
            return f"Insufficient funds: {usd.total:.2f} USD of {needed:.2f}."
        if wanted.side == Side.SELL and base.total < wanted.quantity:
            return f"Insufficient funds: {base.total:f} of {wanted.quantity:f}."
        return ""

    def _match(self, wanted: Wanted, row: VenueOrder, latency_ms: int) -> list[book.Level]:
        """The fills that the book of this minute gives; none where the minute is missing."""
        candle = candles.bar_at(wanted.pair, self.market_now)
        if candle is None:
            row.reason = "There is no market: the last minute is missing."
            return []
        row.bar_opened_at = candle.opened_at
        earlier = VenueOrder.objects.filter(
            venue=NAME, pair=wanted.pair, side=wanted.side, bar_opened_at=candle.opened_at
        )
        gone = earlier.aggregate(total=Sum("filled"))["total"] or Decimal(0)
        levels = book.ladder(_bar(candle), self._rules(), wanted.side, latency_ms)
        quantity = wanted.quantity
        if _strikes(Kind.HALF):
            quantity = (quantity / 2).quantize(LOT, ROUND_DOWN)
        fills = book.walk(levels, quantity, wanted.limit, wanted.side, gone)
        if sum(fill.quantity for fill in fills) < wanted.quantity:
            row.reason = "The book held no more within the limit."
            return [] if wanted.force == FOK else fills
        return fills

    def _bar(self, symbol: str) -> book.Bar | None:
        candle = candles.bar_at(symbol.replace("/", "-"), self.market_now)
        return _bar(candle) if candle else None

    def _rules(self, slippage_bp: int | None = None) -> book.Rules:
        slippage = parameters.get("trading.paper_slippage_bp") if slippage_bp is None else slippage_bp
        return book.Rules(
            tick=TICK,
            lot=LOT,
            spread_bp=parameters.get("trading.paper_spread_bp"),
            depth_bp=parameters.get("trading.paper_depth_bp"),
            slippage_bp=slippage,
        )

    def _away(self) -> None:
        if _strikes(Kind.AWAY):
            raise ccxt.ExchangeNotAvailable("The venue cannot be reached.")

    def _order(self, row: VenueOrder) -> Any:
        """A row as ccxt's order."""
        fills = list(row.fills.all())
        cost = sum((fill.quantity * fill.price for fill in fills), Decimal(0))
        fee = sum((fill.fee_usd for fill in fills), Decimal(0))
        exactly = {"client_id": row.client_id, "filled": str(row.filled), "cost": str(cost), "fee": str(fee)}
        return {
            "id": str(row.pk), "clientOrderId": row.client_id, "symbol": row.pair.replace("-", "/"), "type": "limit",
            "timeInForce": row.time_in_force, "side": row.side.lower(), "price": float(row.limit_price),
            "amount": float(row.quantity), "filled": float(row.filled), "remaining": float(row.quantity - row.filled),
            "cost": float(cost), "average": float(cost / row.filled) if row.filled else None, "status": row.status,
            "timestamp": unix_ms(row.market_at), "datetime": self.iso8601(unix_ms(row.market_at)),
            "fee": {"cost": float(fee), "currency": USD}, "trades": [self._trade(row, fill) for fill in fills],
            "info": exactly | {"reason": row.reason},
        }  # fmt: skip

    def _trade(self, row: VenueOrder, fill: VenueFill) -> dict[str, Any]:
        return {
            "id": str(fill.pk), "order": str(row.pk), "symbol": row.pair.replace("-", "/"), "side": row.side.lower(),
            "amount": float(fill.quantity), "price": float(fill.price), "timestamp": unix_ms(fill.market_at),
            "cost": float(fill.quantity * fill.price), "fee": {"cost": float(fill.fee_usd), "currency": USD},
            "info": {"amount": str(fill.quantity), "price": str(fill.price), "fee": str(fill.fee_usd)},
        }  # fmt: skip


def exact(number: float) -> Decimal:
    """The decimal that a float was written as."""
    return Decimal(repr(float(number)))


def fee_rate() -> Decimal:
    """The fee of one side, as a fraction."""
    return Decimal(parameters.get("risk.fee_bp")) * book.BP


def latency(client_id: str) -> int:
    """Milliseconds that an order is under way: drawn from its id, so that a run can be repeated."""
    longest: int = max(SHORTEST_MS, parameters.get("trading.paper_latency_ms"))
    drawn = int.from_bytes(hashlib.sha256(client_id.encode()).digest()[:8], "big")
    return SHORTEST_MS + drawn % (longest - SHORTEST_MS + 1)


def account(currency: str) -> VenueAccount:
    """An account, locked; in USD the capital is paid in, and what the network adds to or takes from it later."""
    row, _ = VenueAccount.objects.select_for_update().get_or_create(venue=NAME, currency=currency)
    if currency == USD:
        capital = Decimal(parameters.get("risk.capital_cents")) * CENT
        change = max(capital - row.deposited, -row.total)
        if change:
            row.total += change
            row.deposited += change
            row.save(update_fields=["total", "deposited"])
    return row


def show_fault(kind: str, times: int = 1) -> None:
    """Let the next calls meet a fault: for tests and for the demonstration of what follows."""
    VenueFault.objects.create(venue=NAME, kind=Kind(kind), left=times)


def _strikes(kind: str) -> bool:
    """Whether a fault was asked for; each call uses it up once."""
    row = VenueFault.objects.filter(venue=NAME, kind=kind, left__gt=0).first()
    return row is not None and VenueFault.objects.filter(pk=row.pk, left=row.left).update(left=F("left") - 1) == 1


def _bar(candle: Candle) -> book.Bar:
    return book.Bar(exact(candle.high), exact(candle.low), exact(candle.close), exact(candle.volume))


def _book(row: VenueOrder, fill: book.Level) -> None:
    """One fill: its row, and coins and dollars changing hands. The fee is rounded up."""
    usd = fill.quantity * fill.price
    fee = (usd * fee_rate()).quantize(UNIT, ROUND_UP)
    VenueFill.objects.create(order=row, quantity=fill.quantity, price=fill.price, fee_usd=fee, market_at=row.arrived_at)
    sign = 1 if row.side == Side.BUY else -1
    base = account(row.pair.split("-")[0])
    VenueAccount.objects.filter(pk=base.pk).update(total=F("total") + sign * fill.quantity)
    VenueAccount.objects.filter(venue=NAME, currency=USD).update(total=F("total") - sign * usd - fee)
