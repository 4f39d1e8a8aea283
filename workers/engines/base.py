"""The interface of an engine, and its errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class EngineError(Exception):
    """The engine failed."""

    code = "engine_error"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or (self.__doc__ or "").strip())


class ModelNotServed(EngineError):
    """No engine here runs this model."""

    code = "model_not_served"


class PayloadRefused(EngineError):
    """The payload is not what this kind of task takes."""

    code = "payload_refused"


class EngineUnavailable(EngineError):
    """The engine does not answer."""

    code = "engine_unavailable"


@dataclass(frozen=True)
class EngineResult:
    """The result's bytes, and what it took: items of work, tokens read, tokens written."""

    payload: bytes
    items: int
    tokens_in: int
    tokens_out: int


class Engine(Protocol):
    """A loaded model."""

    def run(self, kind: str, payload: bytes, params: Mapping[str, Any]) -> EngineResult:
        """Run one task. Raises EngineError."""
