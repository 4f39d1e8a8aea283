"""What the REST API shares: the exception handler, cursor pagination, and who may do what staff do."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, pagination
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import set_rollback

from apps.core.errors import MeshError
from apps.core.problems import CONTENT_TYPE, problem


class ActsAsStaff(BasePermission):
    """Staff in a session that may use staff's powers."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether it is one."""
        return bool(getattr(request.user, "acts_as_staff", False))


class CursorPagination(pagination.CursorPagination):
    """`{next, previous, results}`, newest first."""

    ordering: str | tuple[str, ...] = "-created_at"
    page_size_query_param = "limit"
    max_page_size = 200


def field_errors(detail: Any, pointer: str = "") -> list[dict[str, str]]:
    """A serializer's nested errors as a flat list of {pointer, code, detail}, pointers as in RFC 6901."""
    if isinstance(detail, dict):
        return [e for key, value in detail.items() for e in field_errors(value, f"{pointer}/{key}")]
    if isinstance(detail, list):
        flat: list[dict[str, str]] = []
        for index, value in enumerate(detail):
            nested = isinstance(value, dict | list)
            flat += field_errors(value, f"{pointer}/{index}" if nested else pointer)
        return flat
    return [{"pointer": pointer or "/", "code": str(getattr(detail, "code", "invalid")), "detail": str(detail)}]


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Every known error as problem+json; an unknown one goes on to Django."""
    headers: dict[str, str] = {}
    if isinstance(exc, MeshError):
        body = problem(exc.status, exc.code, exc.detail, exc.errors)
        retry_after = getattr(exc, "retry_after", None)
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        if challenge := getattr(exc, "challenge", None):
            headers["WWW-Authenticate"] = challenge
    elif isinstance(exc, Http404):
        body = problem(404, "not_found", "There is nothing at this address that you may see.")
    elif isinstance(exc, PermissionDenied):
        body = problem(403, "permission_denied", "Your account or key does not allow this.")
    elif isinstance(exc, exceptions.ValidationError):
        body = problem(400, "invalid", "Some fields are not valid.", field_errors(exc.detail))
    elif isinstance(exc, exceptions.APIException):
        body = problem(exc.status_code, str(getattr(exc.detail, "code", "error")), str(exc.detail))
        wait = getattr(exc, "wait", None)
        if wait is not None:
            headers["Retry-After"] = str(int(wait) + 1)
        challenge = getattr(exc, "auth_header", None)
        if challenge:
            headers["WWW-Authenticate"] = challenge
    else:
        return None
    set_rollback()
    return Response(body, status=body["status"], headers=headers, content_type=CONTENT_TYPE)
