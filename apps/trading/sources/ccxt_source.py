"""Candles of an exchange's public endpoints through ccxt: rate-limited, retried, without keys."""

from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from tenacity.wait import wait_base

from apps.trading.errors import CandleRefused
from workers.protocol.clock import unix_ms

BAR_MS = 60_000
PAGE = 300
ATTEMPTS = 4
TIMEOUT_MS = 10_000
WAIT = wait_random_exponential(multiplier=0.5, max=8)


class CcxtSource:
    """One venue by ccxt's name. ccxt is loaded with the first question: it takes a second and 100 MB."""

    def __init__(self, venue: str, config: dict[str, Any] | None = None, wait: wait_base = WAIT) -> None:
        self.venue, self.config, self.wait = venue, config or {}, wait

    @cached_property
    def exchange(self) -> Any:
        """The venue's client, without keys. Raises CandleRefused where ccxt knows no such venue."""
        import ccxt

        if self.venue not in ccxt.exchanges:
            raise CandleRefused(f"ccxt knows no venue {self.venue}.")
        found = getattr(ccxt, self.venue)({"enableRateLimit": True, "timeout": TIMEOUT_MS, **self.config})
        if not found.has["fetchOHLCV"]:
            raise CandleRefused(f"{self.venue} gives no candles.")
        return found

    def rows(self, pair: str, since: datetime, until: datetime) -> list[list[Any]]:
        """The bars that opened from `since` and were complete at `until`, as the venue gave them.

        Raises CandleRefused where the venue does not know the pair, refuses, or cannot be reached after retries.
        """
        symbol = pair.replace("-", "/")
        at, end = unix_ms(since), unix_ms(until)
        found: list[list[Any]] = []
        while at + BAR_MS <= end:
            page = self._ask(self.exchange.fetch_ohlcv, symbol, "1m", at, PAGE)
            found += [list(row) for row in page if row[0] is None or at <= row[0] <= end - BAR_MS]
            last = max((row[0] for row in page if row[0] is not None), default=at)
            # A page without trades leaves the time behind it to the next one.
            at = max(at + BAR_MS * PAGE if last <= at else last + BAR_MS, at + BAR_MS)
        return found

    def _ask(self, question: Callable[..., Any], *args: Any) -> Any:
        import ccxt

        retrying = Retrying(
            retry=retry_if_exception_type(ccxt.NetworkError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=self.wait,
            reraise=True,
        )
        try:
            return retrying(question, *args)
        except ccxt.BaseError as error:
            raise CandleRefused(f"{self.venue}: {type(error).__name__}: {error}"[:300]) from error
