"""Log lines: time, label, level, message and fields. Plain text in development, JSON in production."""

import json
import logging
from datetime import UTC, datetime
from typing import Any, ClassVar

from apps.core.request_id import current_request_id

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller passed as `extra`, with the id of the request under way."""
    fields = {key: value for key, value in vars(record).items() if key not in STANDARD and not key.startswith("_")}
    request_id = current_request_id()
    if request_id:
        fields["request_id"] = request_id
    return {key: value for key, value in fields.items() if isinstance(value, str | int | float | bool)}


class LineFormatter(logging.Formatter):
    """`2026-01-01T00:00:00.000Z [label] level: message {"field": 1}`."""

    json: ClassVar[bool] = False

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        fields = fields_of(record)
        if self.json:
            line = {
                "time": at,
                "label": record.name,
                "level": record.levelname.lower(),
                "message": message,
                **fields,
            }
            return json.dumps(line, default=str)
        tail = f" {json.dumps(fields, default=str)}" if fields else ""
        return f"{at} [{record.name}] {record.levelname.lower()}: {message}{tail}"


class JsonFormatter(LineFormatter):
    """The same as one JSON object a line."""

    json = True


def logging_config(*, json: bool, level: str) -> dict[str, Any]:
    """The dictionary for `logging.config.dictConfig`."""
    formatter = "meshwork.log.JsonFormatter" if json else "meshwork.log.LineFormatter"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django.server": {"handlers": ["console"], "propagate": False},
            # A line a request of ours to others says nothing that its caller does not.
            "httpx": {"level": "WARNING"},
        },
    }
