"""`meshwork train`: fit the baseline and MSRR on the candles there are; the gate decides what serves."""

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_datetime

from apps.trading.errors import TradingError
from apps.trading.market_time import market_now
from apps.trading.training.gate import Request, train
from workers.protocol.clock import utcnow

SEED = 20260101


class Command(BaseCommand):
    help = "Train on real candles until a moment, judge by purged walk-forward, and serve what beats the baseline."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--pair", default="BTC-USD")
        parser.add_argument("--horizon", type=int, default=15, help="Minutes ahead.")
        parser.add_argument("--until", help="ISO 8601; the market's present time if left out.")
        parser.add_argument("--seed", type=int, default=SEED)

    def handle(self, *args: Any, **options: Any) -> None:
        now = utcnow()
        request = Request(options["pair"], options["horizon"], self.until(options["until"], now), options["seed"])
        try:
            rows = train(request, now)
        except TradingError as error:
            raise CommandError(error.detail) from error
        for row in rows:
            mark = "serves" if row.serving else "      "
            self.stdout.write(f"{mark} {row.objective:<13} {row.metrics} p={row.permutation_p} {row.reason}")
        self.stdout.write(f"{rows[0].rows} rows of {rows[0].data_label}, SHA-256 {rows[0].data_sha256[:16]}…")

    def until(self, given: str | None, now: datetime) -> datetime:
        """The moment after which nothing is looked at."""
        if given is None:
            return market_now(now)
        moment = parse_datetime(given)
        if moment is None or moment.tzinfo is None:
            raise CommandError("--until is a moment with its zone, such as 2019-03-29T12:00:00Z.")
        return moment
