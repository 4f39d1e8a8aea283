"""The OpenAI-style API: `/v1/embeddings` and `/v1/models`, with that API's own error object."""

import base64
import time
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import exceptions, serializers
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, set_rollback

from apps.core.errors import MeshError
from apps.core.models import User
from apps.models import catalog
from apps.models.errors import ModelUnknown
from apps.models.models import ModelVersion
from apps.operators.authentication import HasScope
from apps.pool import cancel, results, submission
from apps.pool.errors import PoolError
from apps.pool.kinds import JobRequest
from apps.pool.models import Job, TaskStatus
from apps.pool.serializers import Texts
from workers.protocol.clock import unix_ms, utcnow

LONGEST_WAIT = timedelta(seconds=60)
PAUSES_S = (0.02, 0.25)
MOST_INPUTS = 2048
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class NotServed(PoolError):
    """The API does not offer that."""

    code = "unsupported"

    def __init__(self, detail: str, param: str) -> None:
        super().__init__(detail)
        self.param = param


class TookTooLong(PoolError):
    """The network did not answer in time."""

    code = "timeout"
    status = 504


class JobFailed(PoolError):
    """The network could not compute the embeddings."""

    code = "job_failed"
    status = 502


def openai_error(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """The error object of that API."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def openai_exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Every known error as that API's error object."""
    headers: dict[str, str] = {}
    param: str | None = None
    if isinstance(exc, MeshError):
        status, code, message = exc.status, exc.code, exc.detail
        param = getattr(exc, "param", None) or (exc.errors[0]["pointer"].strip("/") if exc.errors else None)
        if isinstance(exc, ModelUnknown):
            status, code, param = 404, "model_not_found", "model"
        retry_after = getattr(exc, "retry_after", None)
        headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
        headers |= {"WWW-Authenticate": exc.challenge} if hasattr(exc, "challenge") else {}
    elif isinstance(exc, exceptions.ValidationError):
        param = next(iter(exc.detail)) if isinstance(exc.detail, dict) else None
        first = exc.detail[param] if param is not None and isinstance(exc.detail, dict) else exc.detail
        message = str(first[0] if isinstance(first, list) else first)
        status, code = 400, "invalid_value"
    elif isinstance(exc, exceptions.APIException):
        status, code, message = exc.status_code, str(getattr(exc.detail, "code", "error")), str(exc.detail)
        challenge = getattr(exc, "auth_header", None)
        headers = {"WWW-Authenticate": challenge} if challenge else {}
    else:
        return None
    set_rollback()
    return Response(openai_error(status, code, message, param), status=status, headers=headers)


class OpenAiView(APIView):
    """What the views of this API share."""

    def get_exception_handler(self) -> Any:
        return openai_exception_handler


class EmbeddingsRequest(serializers.Serializer[Any]):
    """What `/v1/embeddings` takes. Token arrays and `dimensions` are refused."""

    model = serializers.CharField()
    input = serializers.JSONField(help_text="A string or a list of strings.")
    encoding_format = serializers.ChoiceField(choices=["float", "base64"], default="float")
    dimensions = serializers.IntegerField(required=False, help_text="Refused: models have their own.")
    user = serializers.CharField(required=False, help_text="Ignored, as an account is known by its key.")

    def texts(self) -> tuple[str, ...]:
        """The inputs; raises NotServed."""
        given = self.validated_data["input"]
        if "dimensions" in self.validated_data:
            raise NotServed("The models here have fixed dimensions; leave `dimensions` out.", "dimensions")
        if isinstance(given, str):
            return (given,)
        if not isinstance(given, list) or not given or len(given) > MOST_INPUTS:
            raise NotServed(f"`input` is a string, or a list of 1 to {MOST_INPUTS} strings.", "input")
        if any(isinstance(item, int | list) for item in given):
            raise NotServed("Token arrays are not supported; send the text itself.", "input")
        return Texts().to_internal_value(given)


class EmbeddingSerializer(serializers.Serializer[Any]):
    """One vector: a list of numbers, or base64 of little-endian float32."""

    object = serializers.CharField()
    index = serializers.IntegerField()
    embedding = serializers.JSONField()


class UsageSerializer(serializers.Serializer[Any]):
    """Tokens that were read."""

    prompt_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


# Inline, since a serializer class cannot declare a field named `data`.
EMBEDDINGS = inline_serializer(
    "Embeddings",
    {
        "object": serializers.CharField(),
        "data": EmbeddingSerializer(many=True),
        "model": serializers.CharField(),
        "usage": UsageSerializer(),
    },
)


class Embeddings(OpenAiView):
    """Embeddings in one request: a job is submitted and waited for."""

    permission_classes = (IsAuthenticated, HasScope)

    @extend_schema(
        operation_id="openai_embeddings",
        summary="Embeddings, OpenAI style",
        tags=["openai"],
        request=EmbeddingsRequest,
        responses=EMBEDDINGS,
    )
    def post(self, request: Request) -> Response:
        """Waits up to a minute; what has not begun by then is cancelled."""
        asked = EmbeddingsRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        described = JobRequest("embed", asked.validated_data["model"], inputs=asked.texts(), priority=4)
        user: User = request.user  # type: ignore[assignment]
        job = waited(submission.submit(user, described, utcnow()), user, utcnow() + LONGEST_WAIT)
        found = results.parts(job)
        vectors = results.vectors(job)
        encode = as_base64 if asked.validated_data["encoding_format"] == "base64" else as_floats
        data = [{"object": "embedding", "index": i, "embedding": encode(row)} for i, row in enumerate(vectors)]
        tokens = sum(part.tokens_in for part in found)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return Response(
            {"object": "list", "data": data, "model": job.model, "usage": usage}, headers={"X-Job-Id": job.pk}
        )


def as_base64(row: np.ndarray) -> str:
    """Little-endian float32 in base64."""
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


def as_floats(row: np.ndarray) -> list[float]:
    """Numbers."""
    return [float(value) for value in row]


def waited(job: Job, user: User, until: datetime) -> Job:
    """The job once it is completed; raises JobFailed or TookTooLong."""
    pause = PAUSES_S[0]
    while job.closed_at is None:
        if utcnow() > until:
            cancel.cancel(job.pk, user, utcnow())
            raise TookTooLong(f"Job {job.pk} was not done in {LONGEST_WAIT.seconds} seconds.")
        if not connection.in_atomic_block:
            # A waiting request keeps none of the few connections.
            connection.close()
        time.sleep(pause)
        pause = min(pause * 1.3, PAUSES_S[1])
        job.refresh_from_db()
    if job.status != TaskStatus.COMPLETED:
        raise JobFailed(f"Job {job.pk} is {job.status}. {job.reason}")
    return job


class OpenAiModelSerializer(serializers.Serializer[Any]):
    """A model, as that API names its fields."""

    id = serializers.CharField()
    object = serializers.CharField()
    created = serializers.IntegerField()
    owned_by = serializers.CharField()


MODELS = inline_serializer(
    "OpenAiModels", {"object": serializers.CharField(), "data": OpenAiModelSerializer(many=True)}
)


def model_object(version: ModelVersion) -> dict[str, Any]:
    """A model as that API describes it."""
    made = unix_ms(version.created_at) // 1000
    return {"id": version.model.name, "object": "model", "created": made, "owned_by": version.model.family}


class OpenAiModels(OpenAiView):
    """The models of the network."""

    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="openai_models",
        summary="Models, OpenAI style",
        tags=["openai"],
        responses=MODELS,
    )
    def get(self, request: Request) -> Response:
        """Those with a version that serves now."""
        return Response({"object": "list", "data": [model_object(v) for v in catalog.active_versions()]})


class OpenAiModel(OpenAiView):
    """One model."""

    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="openai_model", summary="One model, OpenAI style", tags=["openai"], responses=OpenAiModelSerializer
    )
    def get(self, request: Request, name: str) -> Response:
        """By its name."""
        return Response(model_object(catalog.active_version(name, utcnow())))
