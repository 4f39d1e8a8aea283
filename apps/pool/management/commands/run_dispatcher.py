"""`meshwork run_dispatcher`: hands out work, hears nodes, reaps leases, until told to stop."""

import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand

from apps.pool import dispatcher


class Command(BaseCommand):
    """The dispatcher's process; a second one waits until the first is gone."""

    help = "Hand out work to nodes, follow their presence, and take back what is lost. Runs until stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()

        def ask(signum: int, frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, ask)
        signal.signal(signal.SIGINT, ask)
        dispatcher.run(stop)
