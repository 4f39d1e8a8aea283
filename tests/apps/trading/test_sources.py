"""Where candles come from: a local server that speaks an exchange's public REST, and recordings."""

import gzip
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tenacity import wait_none

from apps.core import parameters
from apps.trading import candles, tasks_market
from apps.trading.errors import CandleRefused
from apps.trading.models import Candle, CandleFault, Source
from apps.trading.sources import ccxt_source
from apps.trading.sources.ccxt_source import ATTEMPTS, CcxtSource
from apps.trading.sources.replay_source import ReplaySource
from tests.apps.trading.market_cast import govern
from tests.apps.trading.risk.cast import position

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
BTC = "BTC-USD"
PAIRS = {"XXBTZUSD": ("XBT/USD", "XXBT"), "XETHZUSD": ("ETH/USD", "XETH")}
MISSING, BAD = START + timedelta(minutes=7), START + timedelta(minutes=9)


class Kraken(BaseHTTPRequestHandler):
    """Kraken's public endpoints, as documented: AssetPairs, Assets and OHLC, whose last bar is never complete."""

    failures: list[int] = []
    asked: list[str] = []
    bars = 40

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        type(self).asked.append(url.path)
        if url.path.endswith("/OHLC") and self.failures:
            self.send_response(self.failures.pop(0))
            self.end_headers()
            return
        name = url.path.rpartition("/")[2]
        result = {"AssetPairs": self.pairs, "Assets": self.assets, "OHLC": self.ohlc}[name](parse_qs(url.query))
        body = json.dumps({"error": [], "result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def pairs(self, query: dict[str, list[str]]) -> dict[str, Any]:
        return {
            name: {
                "altname": wsname.replace("/", ""), "wsname": wsname, "aclass_base": "currency", "base": base,
                "aclass_quote": "currency", "quote": "ZUSD", "lot": "unit", "cost_decimals": 5, "pair_decimals": 1,
                "lot_decimals": 8, "lot_multiplier": 1, "leverage_buy": [], "leverage_sell": [],
                "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]], "fee_volume_currency": "ZUSD", "margin_call": 80,
                "margin_stop": 40, "ordermin": "0.00005", "costmin": "0.5", "tick_size": "0.1", "status": "online",
            }
            for name, (wsname, base) in PAIRS.items()
        }  # fmt: skip

    def assets(self, query: dict[str, list[str]]) -> dict[str, Any]:
        names = {"XXBT": "XBT", "XETH": "ETH", "ZUSD": "USD"}
        return {
            name: {"aclass": "currency", "altname": short, "decimals": 10, "display_decimals": 5, "status": "enabled"}
            for name, short in names.items()
        }

    def ohlc(self, query: dict[str, list[str]]) -> dict[str, Any]:
        since = int(query.get("since", ["0"])[0])
        rows = []
        for n in range(self.bars):
            at = START + timedelta(minutes=n)
            close = "0.0" if at == BAD else "100.5"
            if at != MISSING and at.timestamp() > since:
                rows.append([int(at.timestamp()), "100.0", "101.0", "99.0", close, "100.1", "2.50000000", 12])
        return {"XXBTZUSD": rows, "last": since}

    def log_message(self, *args: Any) -> None:
        """Tests are quiet."""


@pytest.fixture
def kraken() -> Iterator[CcxtSource]:
    """ccxt's own Kraken, pointed at the local server."""
    Kraken.failures, Kraken.asked = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Kraken) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        source = CcxtSource(
            "kraken",
            {"urls": {"api": {"public": url, "private": url, "futures": url}}, "rateLimit": 1},
            wait=wait_none(),
        )
        yield source
        source.exchange.session.close()
        server.shutdown()
        thread.join()


def ask(source: CcxtSource, minutes: int = 30, pair: str = BTC) -> list[list[Any]]:
    return source.rows(pair, START, START + timedelta(minutes=minutes))


class TestCcxt:
    def test_it_gives_the_complete_bars_as_the_venue_has_them(self, kraken: CcxtSource) -> None:
        rows = ask(kraken)
        times = [datetime.fromtimestamp(row[0] / 1000, UTC) for row in rows]
        assert times == [START + timedelta(minutes=n) for n in range(30) if n != 7]
        assert rows[0][1:] == [100.0, 101.0, 99.0, 100.5, 2.5]

    @pytest.mark.django_db
    def test_its_gaps_and_bad_rows_are_found_and_not_filled(self, kraken: CcxtSource) -> None:
        end = START + timedelta(minutes=30)
        found = candles.ingest(Source.LIVE, "kraken", BTC, ask(kraken), end)
        assert found.accepted == 28
        assert sorted(CandleFault.objects.values_list("fault", "opened_at")) == [
            ("bad_row", BAD),
            ("gap", MISSING),
            ("gap", BAD),
        ]

    def test_a_bar_that_is_not_over_is_left_to_the_next_question(self, kraken: CcxtSource) -> None:
        rows = kraken.rows(BTC, START, START + timedelta(minutes=2, seconds=59))
        assert len(rows) == 2

    @pytest.mark.parametrize("failures", [[503], [429, 503, 502]])
    def test_what_passes_is_retried(self, kraken: CcxtSource, failures: list[int]) -> None:
        Kraken.failures = list(failures)
        assert len(ask(kraken)) == 29
        assert Kraken.failures == []

    def test_what_does_not_pass_is_refused_with_the_venues_words(self, kraken: CcxtSource) -> None:
        Kraken.failures = [503] * 20
        with pytest.raises(CandleRefused, match="kraken: ExchangeNotAvailable"):
            ask(kraken)
        assert len(Kraken.failures) == 20 - ATTEMPTS

    def test_a_pair_that_the_venue_does_not_have_is_refused(self, kraken: CcxtSource) -> None:
        with pytest.raises(CandleRefused, match="BadSymbol"):
            ask(kraken, pair="DOGE-USD")

    def test_it_holds_no_key_and_keeps_to_the_rate(self, kraken: CcxtSource) -> None:
        assert not kraken.exchange.apiKey
        assert not kraken.exchange.secret
        assert kraken.exchange.enableRateLimit

    def test_a_venue_that_nobody_knows_is_refused(self) -> None:
        with pytest.raises(CandleRefused):
            ask(CcxtSource("nowhere"))


class Venue:
    """A venue that knows some pairs and has a minute of each, the last one."""

    known = (BTC, "ETH-USD")

    def __init__(self, name: str) -> None:
        self.name = name

    def rows(self, pair: str, since: datetime, until: datetime) -> list[list[Any]]:
        if pair not in self.known:
            raise CandleRefused(f"{self.name}: BadSymbol: {pair}")
        opened = until.replace(second=0, microsecond=0) - timedelta(minutes=2)
        return [[int(opened.timestamp() * 1000), 100.0, 101.0, 99.0, 100.5, 2.5]]


@pytest.fixture
def governed(db: None) -> Iterator[None]:
    """What a test governs is forgotten behind it."""
    yield
    parameters.forget_cached()


@pytest.mark.usefixtures("governed")
@pytest.mark.parametrize("allowed", ["DOGE-USD,BTC-USD,ETH-USD", "BTC-USD, ETH-USD", "DOGE-USD, BTC-USD"])
def test_a_pair_that_the_venue_refuses_keeps_no_other_from_its_candles(
    allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ccxt_source, "CcxtSource", Venue)
    govern(risk__pairs=allowed)
    position("ETH-USD")
    assert tasks_market.fetch() == 2
    assert set(Candle.objects.values_list("pair", flat=True)) == {BTC, "ETH-USD"}
    position("LTC-USD")
    assert tasks_market.pairs()[-1] == "LTC-USD"
    assert "" not in tasks_market.pairs()


class TestReplay:
    RECORDING = Path(str(files("meshwork") / "recordings" / "candles-btc-usd-1m.csv.gz"))

    def test_it_gives_what_was_recorded(self) -> None:
        rows = ReplaySource(self.RECORDING).rows(BTC, None, None)
        assert len(rows) == 1382
        assert rows[0] == (1553817600000, 4092.56783507, 4092.56783507, 4092.56783507, 4092.56783507, 0.067335)

    def test_it_keeps_to_the_bounds(self) -> None:
        begins = datetime(2019, 3, 29, 1, 0, tzinfo=UTC)
        rows = ReplaySource(self.RECORDING).rows(BTC, begins, begins + timedelta(minutes=2))
        assert [row[0] for row in rows] == [1553821200000, 1553821260000]

    def test_another_pair_is_refused(self) -> None:
        with pytest.raises(CandleRefused):
            ReplaySource(self.RECORDING).rows("ETH-USD", None, None)

    def test_another_form_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "candles-btc-usd-1m.csv.gz"
        path.write_bytes(gzip.compress(b"time,open\n1,2\n"))
        with pytest.raises(CandleRefused):
            ReplaySource(path).rows(BTC, None, None)


def test_ccxt_is_not_loaded_when_django_starts() -> None:
    import subprocess
    import sys

    code = "import django, sys; django.setup(); import apps.trading.execution, apps.trading.reconciliation; "
    code += "sys.exit('ccxt' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False, timeout=120).returncode == 0
