"""A node's log lines: time, label, level, message and fields, never a prompt or a key."""

import json
import logging
import sys
from datetime import UTC, datetime

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


class LineFormatter(logging.Formatter):
    """`2026-01-01T00:00:00.000Z [label] level: message {"field": 1}`."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        fields = {key: value for key, value in vars(record).items() if key not in STANDARD}
        tail = f" {json.dumps(fields, default=str)}" if fields and record.name.startswith("node") else ""
        return f"{at} [{self.label}] {record.levelname.lower()}: {message}{tail}"


def configure_logging(label: str, level: str) -> None:
    """Log to standard error, the way service managers collect it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(label))
    logging.basicConfig(level=LEVELS[level], handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "websockets", "kombu", "celery"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, LEVELS[level]))
