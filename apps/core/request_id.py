"""The id of the request under way, known to log lines, events and error answers."""

from contextvars import ContextVar

_current: ContextVar[str] = ContextVar("request_id", default="")


def current_request_id() -> str:
    """The id of the request under way, or an empty string outside one."""
    return _current.get()


def set_request_id(value: str) -> None:
    """Remember the id for the rest of this request's context."""
    _current.set(value)
