"""Jobs as JSON, both ways; what comes in is checked here once."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from apps.ledger.amounts import parse, show
from apps.ledger.errors import AmountMalformed
from apps.pool import chunking, kinds
from apps.pool.kinds import JobRequest
from apps.pool.models import Job, Task, TaskStatus
from apps.pool.submission import Quote

WAITING = ("It waits for a free node.", "Nothing: it begins by itself.")


class MeshAmount(serializers.Field[int, str, str, int]):
    """A number of MESH as a decimal string, such as "1.25"; base units inside."""

    def to_internal_value(self, data: str) -> int:
        try:
            return parse(str(data))
        except AmountMalformed as error:
            raise serializers.ValidationError(error.detail) from error

    def to_representation(self, value: int) -> str:
        return show(value)


@extend_schema_field({"type": "string", "example": "1.25"})
class Mesh(MeshAmount):
    """The same, for the description of the API."""


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class Texts(serializers.Field[tuple[str, ...], list[str], list[str], Any]):
    """A list of strings, kept as they are."""

    def to_internal_value(self, data: list[str]) -> tuple[str, ...]:
        if not isinstance(data, list) or not all(isinstance(text, str) for text in data):
            raise serializers.ValidationError("A list of strings is needed.")
        return tuple(data)

    def to_representation(self, value: Any) -> list[str]:
        return list(value)


class JobRequestSerializer(serializers.Serializer[Any]):
    """A job as a requester describes it."""

    kind = serializers.CharField(max_length=20, help_text="embed or generate")
    model = serializers.CharField(max_length=120)
    inputs = Texts(required=False, help_text="The texts of an embed job.")
    prompt = serializers.CharField(
        required=False, trim_whitespace=False, allow_blank=True, help_text="The prompt of a generate job."
    )
    options = serializers.DictField(
        required=False, help_text="temperature, top_p, top_k, num_predict, stop, system, format"
    )
    chunk_size = serializers.IntegerField(
        min_value=1, max_value=1024, default=kinds.DEFAULT_CHUNK, help_text="Texts of an embed job in a chunk."
    )
    chunk_strategy = serializers.ChoiceField(choices=chunking.STRATEGIES, default="none")
    max_chunk_size = serializers.IntegerField(
        min_value=1,
        max_value=1_000_000,
        default=kinds.DEFAULT_MAX_CHUNK,
        help_text="Characters of a prompt chunk.",
    )
    priority = serializers.IntegerField(min_value=1, max_value=9, default=5, help_text="Lower comes first.")
    encrypt = serializers.BooleanField(default=True, help_text="Payloads are always encrypted; false is refused.")
    max_price = Mesh(required=False, help_text="Refuse the job if it costs more MESH.")
    mandate = serializers.CharField(
        required=False, max_length=40, help_text="A spending mandate (mdt_…) whose wallet pays instead of yours."
    )

    def validate_encrypt(self, value: bool) -> bool:
        """Nothing is stored or sent in the clear."""
        if not value:
            raise serializers.ValidationError("Payloads are always encrypted.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """No field that is not known, so that a misspelt one is not ignored."""
        given = self.initial_data if isinstance(self.initial_data, Mapping) else {}
        unknown = sorted(set(given) - set(self.fields))
        if unknown:
            raise serializers.ValidationError(dict.fromkeys(unknown, "There is no such field."))
        return attrs

    def job_request(self) -> JobRequest:
        """What was validated."""
        values = dict(self.validated_data)
        values.pop("encrypt")
        return JobRequest(**values)


class JobSerializer(serializers.ModelSerializer[Job]):
    """A job as its requester sees it; amounts in MESH."""

    status = serializers.ChoiceField(choices=TaskStatus.choices)
    price = Mesh()
    price_per_chunk = Mesh()
    chunking = serializers.DictField()
    options = serializers.DictField()
    encrypted = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    next_step = serializers.SerializerMethodField()
    status_url = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = (
            "id",
            "kind",
            "model",
            "version",
            "status",
            "reason",
            "next_step",
            "price",
            "price_per_chunk",
            "tasks_total",
            "tasks_done",
            "tasks_failed",
            "tasks_cancelled",
            "chunking",
            "options",
            "priority",
            "encrypted",
            "created_at",
            "started_at",
            "finished_at",
            "closed_at",
            "expires_at",
            "status_url",
        )

    def get_encrypted(self, job: Job) -> bool:
        return True

    def get_reason(self, job: Job) -> str:
        return WAITING[0] if job.status == TaskStatus.PENDING else job.reason

    def get_next_step(self, job: Job) -> str:
        return WAITING[1] if job.status == TaskStatus.PENDING else job.next_step

    def get_status_url(self, job: Job) -> str:
        return str(reverse("api_job", args=[job.pk], request=self.context.get("request")))


class ErrorSerializer(serializers.Serializer[Any]):
    """Why a chunk failed."""

    code = serializers.CharField()
    detail = serializers.CharField()


class TaskSerializer(serializers.ModelSerializer[Task]):
    """One chunk of a job."""

    status = serializers.ChoiceField(choices=TaskStatus.choices)
    node = serializers.CharField(source="node_id", allow_null=True)
    node_name = serializers.CharField(source="node.name", default=None, allow_null=True)
    price = Mesh()
    error = serializers.SerializerMethodField()

    class Meta:
        model = Task
        fields = (
            "id",
            "index",
            "status",
            "node",
            "node_name",
            "attempt",
            "items",
            "price",
            "created_at",
            "claimed_at",
            "started_at",
            "completed_at",
            "error",
        )

    @extend_schema_field(ErrorSerializer(allow_null=True))
    def get_error(self, task: Task) -> dict[str, str] | None:
        return {"code": task.error_code, "detail": task.error_detail} if task.error_code else None


class RefusalSerializer(serializers.Serializer[Any]):
    """Why so many nodes do not take a job."""

    reason = serializers.CharField()
    count = serializers.IntegerField()


class QuoteSerializer(serializers.Serializer[Any]):
    """What a job would cost, and whether the network can do it."""

    price = Mesh()
    price_per_chunk = Mesh()
    tasks = serializers.IntegerField()
    feasible = serializers.BooleanField()
    nodes = serializers.IntegerField()
    nodes_fit = serializers.IntegerField()
    slots = serializers.IntegerField()
    slots_busy = serializers.IntegerField()
    refusals = RefusalSerializer(many=True)
    summary = serializers.CharField()

    @staticmethod
    def of(quote: Quote) -> dict[str, Any]:
        """The quote as the fields above name it."""
        stand = quote.feasibility
        return {
            "price": quote.price,
            "price_per_chunk": quote.price_per_chunk,
            "tasks": quote.tasks,
            "feasible": stand.feasible,
            "nodes": stand.nodes,
            "nodes_fit": stand.fit,
            "slots": stand.slots,
            "slots_busy": stand.busy,
            "refusals": [{"reason": reason, "count": count} for reason, count in stand.refusals],
            "summary": stand.sentence(),
        }


class ChunkAnswerSerializer(serializers.Serializer[Any]):
    """One chunk of a result."""

    task = serializers.CharField()
    index = serializers.IntegerField()
    status = serializers.ChoiceField(choices=TaskStatus.choices)
    items = serializers.IntegerField()
    response = serializers.CharField(required=False, allow_null=True, help_text="Of a generate job.")


class ResultSerializer(serializers.Serializer[Any]):
    """A job's joined result. Where chunks were not delivered, `complete` is false and their places are null."""

    id = serializers.CharField()
    kind = serializers.CharField()
    model = serializers.CharField()
    status = serializers.ChoiceField(choices=TaskStatus.choices)
    complete = serializers.BooleanField()
    chunks = ChunkAnswerSerializer(many=True)
    count = serializers.IntegerField(required=False)
    dimensions = serializers.IntegerField(required=False)
    vectors = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField(), allow_null=True), required=False
    )
    response = serializers.CharField(required=False, allow_null=True)


class EnvelopeSignatureSerializer(serializers.Serializer[Any]):
    """A signature of a DSSE envelope."""

    keyid = serializers.CharField()
    sig = serializers.CharField()


class EnvelopeSerializer(serializers.Serializer[Any]):
    """A signed document (DSSE); the payload is base64 of canonical JSON."""

    payloadType = serializers.CharField()
    payload = serializers.CharField()
    signatures = EnvelopeSignatureSerializer(many=True)
