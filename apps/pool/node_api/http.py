"""What the node API's views share: bodies with limits, JSON out, and every refusal as problem+json."""

import logging
from collections.abc import Callable
from typing import Any

import msgspec
from django.db import DatabaseError, DataError, InterfaceError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from redis.exceptions import RedisError

from apps.core.errors import MeshError
from apps.core.problems import CONTENT_TYPE, problem
from apps.pool.node_api.errors import BodyMalformed, BodyTooLarge, SignatureRequired, Unavailable, status_of
from workers.protocol.errors import ProtocolError

logger = logging.getLogger(__name__)
SMALL = 64 * 2**10
RESULTS = 32 * 2**20
View = Callable[..., HttpResponse]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def answer(body: Any, status: int = 200, content_type: str = "application/json") -> HttpResponse:
    """JSON, with its length, since no middleware of the node API adds it."""
    text = _encode(body)
    return HttpResponse(text, status=status, content_type=content_type, headers={"Content-Length": str(len(text))})


def public(body: Any) -> HttpResponse:
    """JSON that pages of any origin may read."""
    response = answer(body)
    response["Access-Control-Allow-Origin"] = "*"
    return response


def body_of(request: HttpRequest, limit: int = SMALL) -> dict[str, Any]:
    """The request's JSON object. Raises BodyTooLarge before reading more than `limit` bytes, or BodyMalformed."""
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError as error:
        raise BodyMalformed from error
    if length > limit:
        raise BodyTooLarge(f"The request has {length} bytes; this address takes {limit}.")
    try:
        body = _decode(request.read(length))
    except (msgspec.DecodeError, OSError, RecursionError) as error:
        raise BodyMalformed from error
    if not isinstance(body, dict):
        raise BodyMalformed
    return body


def envelope_of(request: HttpRequest, limit: int = SMALL) -> dict[str, Any]:
    """The request's signed envelope, unopened; raises SignatureRequired for JSON that is none."""
    body = body_of(request, limit)
    if "payload" not in body or "signatures" not in body:
        raise SignatureRequired
    return body


def refused(error: MeshError | ProtocolError) -> HttpResponse:
    """A refusal as problem+json."""
    if isinstance(error, ProtocolError):
        document = problem(status_of(error), error.code, error.detail)
    else:
        document = problem(error.status, error.code, error.detail, error.errors)
    response = answer(document, document["status"], CONTENT_TYPE)
    if document["status"] == 401:
        response["WWW-Authenticate"] = "Bearer" if document["code"].startswith("api_key") else "DSSE"
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def endpoint(**views: View) -> View:
    """One address: a view a method, HEAD as GET; refusals and outages answered in the API's own form."""
    if "GET" in views:
        views["HEAD"] = views["GET"]

    def handle(request: HttpRequest, **arguments: Any) -> HttpResponse:
        view = views.get(str(request.method))
        if view is None:
            return HttpResponseNotAllowed(sorted(views))
        try:
            return view(request, **arguments)
        except (MeshError, ProtocolError) as error:
            return refused(error)
        except DataError:
            # Text that PostgreSQL cannot hold, such as a NUL.
            return refused(BodyMalformed())
        except (DatabaseError, InterfaceError, RedisError) as error:
            logger.warning("A service does not answer", extra={"error": str(error)[:200]})
            return refused(Unavailable())

    # Nodes have no cookies, so there is nothing to forge; this matters where the site serves these views as well.
    handle.csrf_exempt = True  # type: ignore[attr-defined]
    return handle
