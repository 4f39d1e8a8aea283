"""The paper exchange: its book, its matching and its manners."""

import socket
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import ccxt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core import parameters
from apps.trading.errors import LiveRefused
from apps.trading.exchange import book, live
from apps.trading.exchange.paper import PaperExchange, show_fault
from apps.trading.models import Candle, VenueFill, VenueOrder
from tests.apps.trading import market_cast as cast
from tests.apps.trading.market_cast import NOW, at

BTC = "BTC/USD"


class Touched(Exception):
    """Somebody opened a socket."""


@pytest.fixture
def exchange(db: None) -> Iterator[PaperExchange]:
    parameters.forget_cached()
    cast.bars()
    yield PaperExchange({"market_now": NOW})
    parameters.forget_cached()


def buy(on: PaperExchange, quantity: Any = 0.001, limit: Any = 4050, client: str = "a", force: str = "IOC") -> Any:
    return on.create_order(BTC, "limit", "buy", quantity, limit, {"clientOrderId": client, "timeInForce": force})


def sell(on: PaperExchange, quantity: Any = 0.001, limit: Any = 3950, client: str = "b") -> Any:
    return on.create_order(BTC, "limit", "sell", quantity, limit, {"clientOrderId": client})


class TestOrders:
    def test_it_buys_above_the_close_and_takes_the_fee(self, exchange: PaperExchange) -> None:
        order = buy(exchange)
        assert (order["status"], order["filled"]) == ("closed", 0.001)
        assert order["average"] > 4000
        assert Decimal(order["info"]["fee"]) == Decimal(order["info"]["cost"]) / 1000
        balance = exchange.fetch_balance()
        assert balance["BTC"]["total"] == 0.001
        assert balance["USD"]["total"] == pytest.approx(13 - order["cost"] * 1.001)

    def test_it_sells_below_the_close(self, exchange: PaperExchange) -> None:
        buy(exchange)
        assert sell(exchange)["average"] < 4000

    def test_buying_and_selling_at_once_always_loses(self, exchange: PaperExchange) -> None:
        buy(exchange)
        sell(exchange)
        assert exchange.fetch_balance()["USD"]["total"] < 13 - 2 * 0.004

    def test_a_client_id_is_taken_once(self, exchange: PaperExchange) -> None:
        first = buy(exchange)
        assert buy(exchange)["id"] == first["id"]
        assert VenueOrder.objects.count() == 1

    def test_its_books_outlive_it(self, exchange: PaperExchange) -> None:
        first = buy(exchange)
        again = PaperExchange({"market_now": at(5)})
        assert again.fetch_order(None, BTC, {"clientOrderId": "a"}) == first
        assert again.fetch_order(first["id"], BTC) == first
        assert [order["id"] for order in again.fetch_orders(BTC)] == [first["id"]]

    def test_the_same_orders_fill_the_same_way(self, exchange: PaperExchange) -> None:
        one = buy(exchange)
        VenueFill.objects.all().delete()
        VenueOrder.objects.all().delete()
        assert buy(exchange)["average"] == one["average"]

    def test_an_order_walks_the_book_and_is_filled_in_parts(self, exchange: PaperExchange) -> None:
        cast.bars(volume=0.01)
        order = buy(exchange, 0.003)
        assert order["status"] == "canceled"
        assert 0 < order["filled"] < 0.003
        assert len({trade["price"] for trade in order["trades"]}) == 10

    def test_what_was_taken_of_a_minute_is_gone(self, exchange: PaperExchange) -> None:
        cast.bars(volume=0.01)
        assert buy(exchange, 0.003)["filled"] == 0.001
        assert buy(exchange, 0.001, client="later")["filled"] == 0
        exchange.market_now = at(1)
        assert buy(exchange, 0.001, client="next")["filled"] == 0.001

    def test_all_or_nothing(self, exchange: PaperExchange) -> None:
        cast.bars(volume=0.01)
        assert buy(exchange, 0.003, force="FOK")["filled"] == 0

    def test_it_does_not_fill_beyond_the_limit(self, exchange: PaperExchange) -> None:
        assert buy(exchange, limit=4000)["filled"] == 0

    def test_over_a_gap_nothing_is_filled(self, exchange: PaperExchange) -> None:
        Candle.objects.filter(opened_at=at(-1)).delete()
        order = buy(exchange)
        assert (order["filled"], order["status"]) == (0, "canceled")
        assert exchange.fetch_order_book(BTC)["asks"] == []

    @pytest.mark.parametrize(
        ("quantity", "limit", "error"),
        [
            (0.0002, 4050, ccxt.InvalidOrder),
            (0.0010000001, 4050, None),
            (0.00100000001, 4050, ccxt.InvalidOrder),
            (0.001, 4050.001, ccxt.InvalidOrder),
            (0.01, 4050, ccxt.InsufficientFunds),
            (-1, 4050, ccxt.InvalidOrder),
        ],
    )
    def test_it_has_a_smallest_order_ticks_lots_and_lends_nothing(
        self, exchange: PaperExchange, quantity: float, limit: float, error: type[Exception] | None
    ) -> None:
        if error is None:
            quantity = 0.0010001
            assert buy(exchange, quantity, limit)["filled"] == quantity
            return
        with pytest.raises(error):
            buy(exchange, quantity, limit)
        assert not VenueOrder.objects.exclude(status="rejected").exists()

    def test_what_is_not_held_is_not_sold(self, exchange: PaperExchange) -> None:
        with pytest.raises(ccxt.InsufficientFunds):
            sell(exchange)

    def test_more_capital_is_paid_in(self, exchange: PaperExchange) -> None:
        assert exchange.fetch_balance()["USD"]["total"] == 13
        cast.govern(risk__capital_cents=2000)
        assert exchange.fetch_balance()["USD"]["total"] == 20

    def test_what_it_does_not_do_it_refuses(self, exchange: PaperExchange) -> None:
        with pytest.raises(ccxt.NotSupported):
            exchange.create_order(BTC, "market", "buy", 0.001, None, {"clientOrderId": "m"})
        with pytest.raises(ccxt.InvalidOrder):
            exchange.create_order(BTC, "limit", "buy", 0.001, 4050)
        with pytest.raises(ccxt.BadSymbol):
            exchange.create_order("DOGE/USD", "limit", "buy", 1, 4050, {"clientOrderId": "d"})
        with pytest.raises(ccxt.OrderNotFound):
            exchange.fetch_order(None, BTC, {"clientOrderId": "none"})


class TestFaults:
    def test_it_takes_the_order_and_times_out(self, exchange: PaperExchange) -> None:
        show_fault("timeout")
        with pytest.raises(ccxt.RequestTimeout):
            buy(exchange)
        assert exchange.fetch_order(None, BTC, {"clientOrderId": "a"})["status"] == "closed"
        assert buy(exchange, client="b")["status"] == "closed"

    def test_it_times_out_and_never_saw_the_order(self, exchange: PaperExchange) -> None:
        show_fault("lost")
        with pytest.raises(ccxt.RequestTimeout):
            buy(exchange)
        assert VenueOrder.objects.count() == 0

    def test_it_fills_half(self, exchange: PaperExchange) -> None:
        show_fault("half")
        assert buy(exchange)["filled"] == 0.0005

    def test_it_goes_away_and_comes_back(self, exchange: PaperExchange) -> None:
        show_fault("away", 2)
        for call in (exchange.fetch_balance, lambda: buy(exchange)):
            with pytest.raises(ccxt.ExchangeNotAvailable):
                call()
        assert buy(exchange)["status"] == "closed"


class TestSafety:
    def test_it_opens_no_socket(self, exchange: PaperExchange, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise Touched

        buy(exchange, client="before")
        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "create_connection", refuse)
        fresh = PaperExchange({"market_now": NOW})
        buy(fresh)
        fresh.fetch_balance()
        with pytest.raises(ccxt.NotSupported):
            fresh.fetch("https://api.coinbase.com/")

    def test_it_is_a_sandbox_that_cannot_be_left(self, exchange: PaperExchange) -> None:
        assert live.sandboxed(exchange) is exchange
        with pytest.raises(ccxt.NotSupported):
            exchange.set_sandbox_mode(False)

    def test_a_venue_without_a_sandbox_is_refused(self) -> None:
        for venue in (ccxt.kraken(), ccxt.bitstamp()):
            with pytest.raises(LiveRefused):
                live.sandboxed(venue)

    def test_keys_come_from_the_environment_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(live.KEY_ID, raising=False)
        monkeypatch.setenv(live.KEY_SECRET, "a-secret")
        with pytest.raises(LiveRefused, match=live.KEY_ID):
            live.keys()
        monkeypatch.setenv(live.KEY_ID, "an-id")
        assert (live.keys().key_id, live.keys().secret) == ("an-id", "a-secret")
        assert "a-secret" not in repr(live.keys())

    def test_live_is_refused_with_and_without_keys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for value in ("", "given"):
            monkeypatch.setenv(live.KEY_ID, value)
            monkeypatch.setenv(live.KEY_SECRET, value)
            with pytest.raises(LiveRefused, match="go-live checklist has passed"):
                live.start("LIVE")
        live.start("SIMULATION")


MONEY = st.decimals("1", "90000", places=2)
SIDES = st.sampled_from(["BUY", "SELL"])
RULES = st.builds(
    book.Rules,
    tick=st.just(Decimal("0.01")),
    lot=st.just(Decimal("1e-8")),
    spread_bp=st.integers(0, 10_000),
    depth_bp=st.integers(1, 10_000),
    slippage_bp=st.integers(0, 1_000),
)


@given(
    close=MONEY,
    spread=st.decimals("0", "100", places=2),
    volume=st.decimals("0", "1000", places=8),
    rules=RULES,
    side=SIDES,
    ms=st.integers(1, 60_000),
    quantity=st.decimals("0.00000001", "2000", places=8),
    gone=st.decimals("0", "500", places=8),
    worse=st.decimals("-0.02", "0.1", places=4),
)
def test_fills_stay_within_quantity_limit_and_book(  # noqa: PLR0913  one market
    close: Decimal, spread: Decimal, volume: Decimal, rules: book.Rules, side: str, ms: int, quantity: Decimal,
    gone: Decimal, worse: Decimal,
) -> None:  # fmt: skip
    bar = book.Bar(close + spread, max(close - spread, Decimal("0.01")), close, volume)
    levels = book.ladder(bar, rules, side, ms)
    sign = 1 if side == "BUY" else -1
    limit = close * (1 + sign * worse)
    fills = book.walk(levels, quantity, limit, side, gone)
    depth = sum((level.quantity for level in levels), Decimal(0))
    filled = sum((fill.quantity for fill in fills), Decimal(0))
    assert filled <= min(quantity, max(depth - gone, Decimal(0)))
    assert all(fill.quantity > 0 and sign * (fill.price - limit) <= 0 for fill in fills)
    assert all(sign * (level.price - close) > 0 for level in levels), "no better than the close"
    assert [level.price for level in levels] == sorted((level.price for level in levels), reverse=side == "SELL")
    later = book.ladder(bar, rules, side, 60_000)
    assert all(sign * (b.price - a.price) >= 0 for a, b in zip(levels, later, strict=False)), "a longer way costs more"
