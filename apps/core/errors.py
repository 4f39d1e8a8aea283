"""Errors that people and programs meet.

MeshError
├── ParameterError
│   ├── UnknownParameter
│   ├── ParameterRefused
│   └── ParameterChanged
├── KeysMissing
└── TopicRefused
"""

from typing import Any


class MeshError(Exception):
    """Something went wrong."""

    code = "error"
    status = 400

    def __init__(self, detail: str | None = None, *, errors: list[dict[str, Any]] | None = None) -> None:
        self.detail = detail or (self.__doc__ or "").strip().split("\n")[0]
        self.errors = errors or []
        super().__init__(self.detail)


class ParameterError(MeshError):
    """That network parameter cannot be read or changed so."""

    code = "parameter_error"


class UnknownParameter(ParameterError):
    """There is no network parameter of that name."""

    code = "parameter_unknown"
    status = 404


class ParameterRefused(ParameterError):
    """That value is outside the parameter's type or bounds."""

    code = "parameter_refused"


class ParameterChanged(ParameterError):
    """The parameter has another value than the change expected."""

    code = "parameter_changed"
    status = 409


class KeysMissing(MeshError):
    """The platform has no keys yet. Run `meshwork genesis`."""

    code = "keys_missing"
    status = 503


class TopicRefused(MeshError):
    """That live topic does not exist, or is not yours to read."""

    code = "topic_refused"
    status = 403
