"""Taking work by long-polling the node API instead of the broker."""

import logging
import signal
import threading
import time
from types import FrameType

from workers.node.errors import PlatformRefused, PlatformUnreachable
from workers.node.runner import Runner

logger = logging.getLogger("node.polling")
WAIT_S = 20.0
LEAST_WAIT_S = 1.0
BACK_OFF_S = (1.0, 30.0)


def serve(runner: Runner, lane: str) -> None:
    """Claim and run one task at a time until SIGTERM; the current one is finished first."""
    stopping = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    pause = BACK_OFF_S[0]
    while not stopping.is_set():
        if any(runner.state.fact(name, None) for name in ("draining", "held", "banned")):
            stopping.wait(1.0)
            continue
        asked = time.monotonic()
        try:
            tasks = runner.api.claim(lane, 1, WAIT_S)
            pause = BACK_OFF_S[0]
        except (PlatformRefused, PlatformUnreachable) as error:
            logger.warning("Claim failed", extra={"code": error.code, "next_try_s": pause})
            stopping.wait(pause)
            pause = min(pause * 2, BACK_OFF_S[1])
            continue
        for envelope in tasks:
            runner.run(envelope)
        # A platform with many callers answers at once instead of letting all of them wait.
        if not tasks and time.monotonic() - asked < LEAST_WAIT_S:
            stopping.wait(LEAST_WAIT_S)
