"""application/problem+json (RFC 9457) for every error of the API."""

from http import HTTPStatus
from typing import Any

from django.http import JsonResponse

from apps.core.errors import MeshError
from apps.core.request_id import current_request_id

CONTENT_TYPE = "application/problem+json"


def problem(status: int, code: str, detail: str, errors: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The document: type, title, status, detail, a stable code, the request's id and the faulty fields."""
    document: dict[str, Any] = {
        "type": f"urn:meshwork:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": current_request_id(),
    }
    if errors:
        document["errors"] = errors
    return document


def problem_response(error: MeshError) -> JsonResponse:
    """The answer for an error of ours."""
    body = problem(error.status, error.code, error.detail, error.errors)
    return JsonResponse(body, status=error.status, content_type=CONTENT_TYPE)
