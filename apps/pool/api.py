"""The jobs API."""

import io
from typing import Any

import numpy as np
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import generics
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.api import CursorPagination
from apps.operators.authentication import HasScope
from apps.pool import cancel, kinds, receipts, results, submission
from apps.pool.errors import BodyTooLarge, IdempotencyKeyReused, JobNotFound
from apps.pool.models import Job, Task, TaskStatus
from apps.pool.results import Part
from apps.pool.serializers import (
    EnvelopeSerializer,
    JobRequestSerializer,
    JobSerializer,
    QuoteSerializer,
    ResultSerializer,
    TaskSerializer,
)
from workers.protocol.clock import utcnow

LONGEST_KEY = 128
LARGEST_BODY = 64 * 2**20
IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="The same key with the same request returns the same job; with another request it is refused.",
)


class NpyRenderer(BaseRenderer):
    """Vectors as a NumPy .npy file of float32."""

    media_type = "application/octet-stream"
    format = "npy"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        if not isinstance(data, np.ndarray):
            # An error of a request that asked for .npy is still a problem document.
            return JSONRenderer().render(data)
        buffer = io.BytesIO()
        np.save(buffer, data)
        return buffer.getvalue()


class TaskPagination(CursorPagination):
    """Chunks in their order."""

    ordering = "index"
    page_size = 200
    max_page_size = 1000


def own_job(request: Request, job_id: str) -> Job:
    """The job, if the request's user may see it; raises JobNotFound."""
    job = Job.objects.visible_to(request.user).filter(pk=job_id).first()
    if job is None:
        raise JobNotFound
    return job


def idempotency_key(request: Request) -> str | None:
    """The request's Idempotency-Key; raises IdempotencyKeyReused for one that is no key."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
        raise IdempotencyKeyReused(f"An Idempotency-Key has 1 to {LONGEST_KEY} printable characters.")
    return key


def job_request(request: Request) -> kinds.JobRequest:
    """The job that the body describes; raises ValidationError or BodyTooLarge."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > LARGEST_BODY:
        raise BodyTooLarge
    serializer = JobRequestSerializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    return serializer.job_request()


class JobList(generics.ListAPIView[Job]):
    """The requester's jobs, and the way to a new one."""

    permission_classes = (IsAuthenticated, HasScope)
    serializer_class = JobSerializer
    pagination_class = CursorPagination

    def get_queryset(self) -> QuerySet[Job]:
        """One's own, newest first."""
        if getattr(self, "swagger_fake_view", False):
            return Job.objects.none()
        return Job.objects.requests().filter(requester=self.request.user.pk)

    @extend_schema(operation_id="jobs_list", summary="Your jobs, newest first", tags=["jobs"])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A page of jobs."""
        return self.list(request, *args, **kwargs)

    @extend_schema(
        operation_id="jobs_create",
        summary="Submit a job",
        tags=["jobs"],
        request=JobRequestSerializer,
        parameters=[IDEMPOTENCY],
        responses={202: JobSerializer},
    )
    def post(self, request: Request) -> Response:
        """Hold the fee and queue the chunks; `Location` is where to follow the job."""
        asked, key = job_request(request), idempotency_key(request)
        job = submission.submit(request.user, asked, utcnow(), idempotency_key=key)  # type: ignore[arg-type]
        shown = JobSerializer(job, context={"request": request}).data
        return Response(shown, status=202, headers={"Location": shown["status_url"]})


class JobQuote(APIView):
    """What a job would cost."""

    permission_classes = (IsAuthenticated,)

    @extend_schema(
        operation_id="jobs_quote",
        summary="Price and feasibility of a job",
        tags=["jobs"],
        request=JobRequestSerializer,
        responses=QuoteSerializer,
    )
    def post(self, request: Request) -> Response:
        """Nothing is held and nothing is queued."""
        quote = submission.quote(job_request(request), utcnow())
        return Response(QuoteSerializer(QuoteSerializer.of(quote)).data)


class JobDetail(APIView):
    """One job."""

    permission_classes = (IsAuthenticated, HasScope)

    @extend_schema(operation_id="jobs_read", summary="A job's state", tags=["jobs"], responses=JobSerializer)
    def get(self, request: Request, job_id: str) -> Response:
        """The job as it is now."""
        return Response(JobSerializer(own_job(request, job_id), context={"request": request}).data)


@extend_schema_view(get=extend_schema(operation_id="jobs_tasks", summary="A job's chunks", tags=["jobs"]))
class JobTasks(generics.ListAPIView[Task]):
    """The chunks of one job, in order."""

    permission_classes = (IsAuthenticated, HasScope)
    serializer_class = TaskSerializer
    pagination_class = TaskPagination

    def get_queryset(self) -> QuerySet[Task]:
        """Of a job that is one's own."""
        if getattr(self, "swagger_fake_view", False):
            return Task.objects.none()
        return own_job(self.request, self.kwargs["job_id"]).tasks.select_related("node")


class JobResult(APIView):
    """The joined result of one job."""

    permission_classes = (IsAuthenticated, HasScope)
    renderer_classes = (JSONRenderer, NpyRenderer)

    @extend_schema(
        operation_id="jobs_result",
        summary="A closed job's result",
        tags=["jobs"],
        parameters=[OpenApiParameter("format", str, enum=["json", "npy"], description="npy: float32 vectors only.")],
        responses={
            (200, "application/json"): ResultSerializer,
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            409: OpenApiResponse(description="job_not_finished, or job_incomplete for npy"),
        },
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Vectors in the order of the inputs, or the chunks' texts joined with a space."""
        job = own_job(request, job_id)
        if isinstance(request.accepted_renderer, NpyRenderer):
            return Response(results.vectors(job))
        return Response(described(job))


def described(job: Job) -> dict[str, Any]:
    """A result as ResultSerializer documents it; raises JobNotFinished."""
    found = results.parts(job)
    shown: dict[str, Any] = {
        "id": job.pk,
        "kind": job.kind,
        "model": job.model,
        "status": job.status,
        "complete": job.status == TaskStatus.COMPLETED,
    }
    chunks = [{"task": part.task_id, "index": part.index, "status": part.status, "items": part.items} for part in found]
    if job.kind == kinds.Embed.name:
        return {**shown, "chunks": chunks, **_vectors(found)}
    told = results.answers(found)
    shown["response"] = results.text(job) if shown["complete"] else None
    return {**shown, "chunks": [{**chunk, "response": text} for chunk, text in zip(chunks, told, strict=True)]}


def _vectors(found: list[Part]) -> dict[str, Any]:
    rows = results.sparse_vectors(found)
    width = next((len(row) for row in rows if row is not None), 0)
    return {"count": len(rows), "dimensions": width, "vectors": rows}


class JobCancel(APIView):
    """Cancelling one job."""

    permission_classes = (IsAuthenticated, HasScope)

    @extend_schema(
        operation_id="jobs_cancel",
        summary="Take back the chunks that nobody has started",
        tags=["jobs"],
        request=None,
        responses=JobSerializer,
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Running chunks end by themselves and are charged; a job that has ended stays as it is."""
        cancel.cancel(job_id, request.user, utcnow())  # type: ignore[arg-type]
        return Response(JobSerializer(own_job(request, job_id), context={"request": request}).data)


class JobReceipt(APIView):
    """One job's receipt."""

    permission_classes = (IsAuthenticated, HasScope)

    @extend_schema(
        operation_id="jobs_receipt",
        summary="A closed job's signed receipt",
        tags=["jobs"],
        responses={200: EnvelopeSerializer, 409: OpenApiResponse(description="receipt_pending")},
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Issued once all of the job's transfers are sealed; `mesh verify` checks it offline."""
        return Response(receipts.receipt(own_job(request, job_id)))
