"""`meshwork replay`: move the market through recordings, step by step."""

import time
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.trading import execution, market_time, pipeline, rounds
from apps.trading.models import Position, Round, RoundStatus
from apps.trading.replay import Replay
from workers.protocol.clock import utcnow

LOOK_S = 0.1


class Command(BaseCommand):
    help = "Replay recorded scans and candles through signals, risk, consensus and the paper exchange."

    def add_arguments(self, parser: CommandParser) -> None:
        default = files("meshwork") / "recordings" / "replay.toml"
        parser.add_argument("--file", type=Path, default=Path(str(default)))
        parser.add_argument("--history", action="store_true", help="Only the candles before the replay.")
        parser.add_argument("--pause", type=float, default=0.0, help="Seconds between two steps, for those who watch.")

    def handle(self, *args: Any, **options: Any) -> None:
        replay = Replay(options["file"])
        replay.targets()
        at = resume_from(replay)
        self.stdout.write(replay.label)
        if options["history"]:
            return
        execution.recover(at, utcnow())
        while at < replay.ends:
            before, at = at, min(at + replay.step, replay.ends)
            market_time.move_to(at, utcnow())
            replay.feed_bars(before, at)
            replay.feed_scans(before, at)
            done = pipeline.step(at, utcnow())
            if done.rounds:
                wait_for_rounds()
                pipeline.step(at, utcnow())
                self.stdout.write(f"{at:%H:%M} {done.rounds} round(s)")
            time.sleep(options["pause"])
        settle(replay, at)
        self.stdout.write("The replay has ended.")


def resume_from(replay: Replay) -> datetime:
    """Where an earlier run stopped, or the beginning, with the history that the features need."""
    row = market_time.clock()
    if row.label == replay.label and row.market_at is not None:
        return row.market_at
    market_time.start_replay(replay.label, replay.begins, replay.ends, utcnow())
    replay.feed_bars(None, replay.begins)
    return replay.begins


def wait_for_rounds() -> None:
    """The market waits while the oracles agree: their rounds run on the wall's time and always end by it."""
    while Round.objects.filter(status=RoundStatus.OPEN).exists():
        rounds.sweep(utcnow())
        time.sleep(LOOK_S)


def settle(replay: Replay, at: datetime) -> None:
    """What is still due at the recordings' last moment."""
    if Position.objects.filter(closed_at=None).exists():
        pipeline.step(at, utcnow())
