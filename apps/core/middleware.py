"""Request ids on every answer, and errors of ours as pages."""

import re
from collections.abc import Callable
from uuid import uuid4

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.core.errors import MeshError
from apps.core.problems import problem_response
from apps.core.request_id import set_request_id

GIVEN = re.compile(r"[A-Za-z0-9_.-]{8,64}")
Handler = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    """Takes a caller's well-formed X-Request-ID or makes one; puts it on the answer."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if GIVEN.fullmatch(given) else uuid4().hex
        set_request_id(request_id)
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response


class ErrorPageMiddleware:
    """A MeshError that a page raises becomes a page with its message; under /api/ and /v1/ a problem document."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return error_response(request, exception) if isinstance(exception, MeshError) else None


def error_response(request: HttpRequest, error: MeshError) -> HttpResponse:
    """A refusal as a page; under the addresses of programs as a problem document."""
    if request.path.startswith(("/api/", "/v1/", "/.well-known/")):
        return problem_response(error)
    return render(request, "error.html", {"error": error}, status=error.status)
