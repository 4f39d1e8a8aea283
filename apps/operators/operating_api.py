"""Applications and nodes as JSON."""

from typing import Any

import msgspec
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers, status
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.api import CursorPagination
from apps.core.models import User
from apps.operators import applications, hardware, tiers
from apps.operators.authentication import HasScope, InPerson
from apps.operators.errors import ProbeRefused
from apps.operators.forms import GPU_TYPES
from apps.operators.models import Application, Node, NodeStatus, Tier
from workers.protocol.clock import utcnow


class HardwareSerializer(serializers.Serializer[Any]):
    """What the machine has; memory in GB, upload in Mbit/s."""

    gpu_type = serializers.ChoiceField(choices=GPU_TYPES)
    gpu_model = serializers.CharField(max_length=80)
    gpu_memory_gb = serializers.IntegerField(min_value=0, max_value=4096)
    cpu_cores = serializers.IntegerField(min_value=1, max_value=4096)
    memory_gb = serializers.IntegerField(min_value=1, max_value=65_536)
    operating_system = serializers.CharField(max_length=80)
    bandwidth_mbps = serializers.IntegerField(min_value=1, max_value=1_000_000)


class NewApplicationSerializer(serializers.Serializer[Any]):
    """An application to hand in; `agree` says that the machine is yours and that a stake can be slashed."""

    tier = serializers.ChoiceField(choices=Tier.choices)
    region = serializers.ChoiceField(choices=tiers.REGIONS)
    hardware = HardwareSerializer()
    probe = serializers.DictField(default=dict, help_text="What `mesh node probe --json` printed.")
    experience = serializers.CharField(max_length=2000, default="", allow_blank=True)
    agree = serializers.BooleanField()

    def validate_probe(self, value: dict[str, Any]) -> dict[str, Any]:
        """It fits its schema; unknown fields are left out."""
        if not value:
            return {}
        try:
            return hardware.read(msgspec.json.encode(value))
        except ProbeRefused as error:
            raise serializers.ValidationError(error.detail, code=error.code) from error

    def validate_agree(self, value: bool) -> bool:
        """It has to be true."""
        if not value:
            raise serializers.ValidationError("An application needs your consent.", code="consent_missing")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A tier has its least hardware."""
        if found := tiers.shortfalls(attrs["tier"], attrs["hardware"]):
            raise serializers.ValidationError({"hardware": found}, code="too_small")
        return attrs


class ApplicationSerializer(serializers.ModelSerializer[Application]):
    """How an application stands."""

    next_step = serializers.CharField()

    class Meta:
        model = Application
        fields = (
            "id",
            "tier",
            "region",
            "hardware",
            "probe",
            "experience",
            "status",
            "criterion",
            "reason",
            "next_step",
            "submitted_at",
            "reviewed_at",
        )


class ApplicationView(APIView):
    """One's own application."""

    permission_classes = (IsAuthenticated, HasScope, InPerson)

    @extend_schema(tags=["operators"], operation_id="application_read", responses=ApplicationSerializer)
    def get(self, request: Request) -> Response:
        """How it stands; 404 before there is one."""
        user: User = request.user  # type: ignore[assignment]
        return Response(ApplicationSerializer(get_object_or_404(Application, user=user)).data)

    @extend_schema(
        tags=["operators"], request=NewApplicationSerializer, responses={201: ApplicationSerializer, 409: None}
    )
    def post(self, request: Request) -> Response:
        """Hand it in, or again after a rejection; 409 while one is under review or approved."""
        serializer = NewApplicationSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = {name: value for name, value in serializer.validated_data.items() if name in applications.FIELDS}
        user: User = request.user  # type: ignore[assignment]
        application = applications.submit(user, data, utcnow())
        return Response(ApplicationSerializer(application).data, status=status.HTTP_201_CREATED)


class NodeSerializer(serializers.ModelSerializer[Node]):
    """What everybody may know of a node."""

    tier = serializers.CharField(source="operator.tier")
    region = serializers.CharField(source="operator.region")
    gpu_type = serializers.CharField(source="probe.gpu_type", default="cpu")
    gflops = serializers.IntegerField()
    created_at = serializers.DateTimeField(source="enrolled_at")

    class Meta:
        model = Node
        fields = (
            "id",
            "name",
            "tier",
            "region",
            "status",
            "reason",
            "next_step",
            "gpu_type",
            "gflops",
            "lanes",
            "load",
            "reputation",
            "last_seen_at",
            "created_at",
        )


class NodePagination(CursorPagination):
    """Newest first."""

    ordering = "-enrolled_at"


@extend_schema(
    tags=["nodes"],
    summary="Nodes of the network",
    parameters=[
        OpenApiParameter("status", enum=NodeStatus.values),
        OpenApiParameter("mine", bool, description="Only the nodes of whoever asks."),
    ],
)
class NodeList(generics.ListAPIView[Node]):
    """What everybody may know of the network's machines."""

    permission_classes = (AllowAny,)
    pagination_class = NodePagination
    serializer_class = NodeSerializer

    def get_queryset(self) -> QuerySet[Node]:
        """Nodes that were not revoked."""
        query = self.request.query_params
        nodes = Node.objects.not_revoked().select_related("operator")
        if query.get("mine", "").lower() in {"1", "true"}:
            user = self.request.user
            nodes = nodes.filter(operator__user=user) if isinstance(user, User) else nodes.none()
        return nodes.filter(status=query["status"]) if query.get("status") else nodes


@extend_schema(tags=["nodes"], summary="One node")
class NodeDetail(generics.RetrieveAPIView[Node]):
    """What everybody may know of it, revoked or not."""

    permission_classes = (AllowAny,)
    serializer_class = NodeSerializer

    def get_object(self) -> Node:
        """By id."""
        return get_object_or_404(Node.objects.select_related("operator"), pk=self.kwargs["node_id"])
