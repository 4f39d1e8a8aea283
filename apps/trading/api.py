"""Scans, signals and their accuracy over the API."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from apps.core import parameters
from apps.core.api import CursorPagination
from apps.operators.authentication import SAFE, HasScope
from apps.operators.models import ApiKey, Scope
from apps.trading import accuracy, reporting, signals
from apps.trading.market_time import market_now
from apps.trading.models import Scan, Signal, SignalStatus
from apps.trading.serializers import (
    AccuracySerializer,
    ScanReportSerializer,
    ScanSerializer,
    SignalReportSerializer,
    SignalSerializer,
)
from workers.protocol.clock import utcnow

LONGEST_KEY = 128
LONGEST_HOURS = 24 * 366
KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="The same key returns the same signal."
)


class MayReport(BasePermission):
    """A key needs `trading:write` to report; reading is free to every key and session."""

    code = "scope_missing"
    message = HasScope.message

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether the request's key is allowed to."""
        if request.method in SAFE or not isinstance(request.auth, ApiKey):
            return True
        return request.auth.allows({Scope.TRADING_WRITE})


class ReportThrottle(SimpleRateThrottle):
    """So many reports of one account a minute, as the network decides; reading is not counted."""

    scope = "trading_reports"

    def get_rate(self) -> str:
        """The governed rate."""
        return f"{parameters.get('scans.api_per_minute')}/min"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """One count an account."""
        if request.method in SAFE or not request.user.is_authenticated:
            return None
        return f"throttle:{self.scope}:{request.user.pk}"


class ScanPagination(CursorPagination):
    """The newest measurement first."""

    ordering = ("-measured_at", "-id")


class SignalPagination(CursorPagination):
    """The newest signal first."""

    ordering = ("-market_at", "-id")


class ScanFilter(serializers.Serializer[Any]):
    """Which scans to list."""

    host = serializers.CharField(required=False)
    region = serializers.CharField(required=False)
    vantage = serializers.CharField(required=False)


class SignalFilter(serializers.Serializer[Any]):
    """Which signals to list; `active` are those that may still be taken."""

    min_confidence = serializers.FloatField(required=False, min_value=0, max_value=1)
    pair = serializers.CharField(required=False)
    status = serializers.ChoiceField(choices=SignalStatus.choices, required=False)
    active = serializers.BooleanField(required=False)


class Window(serializers.Serializer[Any]):
    """How many hours to look back."""

    hours = serializers.FloatField(default=24.0, min_value=0.01, max_value=LONGEST_HOURS)


def asked(form: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """The request's query, checked; raises ValidationError."""
    given = form(data=request.query_params.dict())
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


class ScanList(generics.ListAPIView[Scan]):
    """Measured paths, and the way to report one."""

    permission_classes = (IsAuthenticated, MayReport)
    throttle_classes = (ReportThrottle,)
    serializer_class = ScanSerializer
    pagination_class = ScanPagination

    def get_queryset(self) -> QuerySet[Scan]:
        """Those asked for."""
        rows = Scan.objects.select_related("target").defer("envelope")
        if getattr(self, "swagger_fake_view", False):
            return rows.none()
        wanted = asked(ScanFilter, self.request)
        names = {"host": "target__host", "region": "region", "vantage": "vantage"}
        return rows.filter(**{names[name]: value for name, value in wanted.items()})

    @extend_schema(operation_id="scans_list", summary="Scans, newest first", tags=["scans"], parameters=[ScanFilter])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A page of scans."""
        return self.list(request, *args, **kwargs)

    @extend_schema(
        operation_id="scans_create",
        summary="Report a scan",
        tags=["scans"],
        request=ScanReportSerializer,
        responses={201: ScanSerializer},
    )
    def post(self, request: Request) -> Response:
        """For approved operators and staff. The near hops' addresses are hidden before anything is stored."""
        given = ScanReportSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        scan = reporting.report_scan(request.user, given.validated_data, utcnow())  # type: ignore[arg-type]
        return Response(ScanSerializer(scan).data, status=201)


class SignalList(generics.ListAPIView[Signal]):
    """Signals, and the way to report one."""

    permission_classes = (IsAuthenticated, MayReport)
    throttle_classes = (ReportThrottle,)
    serializer_class = SignalSerializer
    pagination_class = SignalPagination

    def get_queryset(self) -> QuerySet[Signal]:
        """Those asked for."""
        if getattr(self, "swagger_fake_view", False):
            return Signal.objects.none()
        wanted = asked(SignalFilter, self.request)
        least = wanted.pop("min_confidence", 0.0)
        if wanted.pop("active", False):
            rows = signals.active(market_now(utcnow()), least)
        else:
            rows = Signal.objects.filter(confidence__gte=least)
        return rows.filter(**wanted).select_related("target", "outcome")

    @extend_schema(
        operation_id="signals_list", summary="Signals, newest first", tags=["signals"], parameters=[SignalFilter]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A page of signals."""
        return self.list(request, *args, **kwargs)

    @extend_schema(
        operation_id="signals_create",
        summary="Report a signal",
        tags=["signals"],
        request=SignalReportSerializer,
        parameters=[KEY],
        responses={201: SignalSerializer, 200: SignalSerializer},
    )
    def post(self, request: Request) -> Response:
        """For approved operators and staff. It is traded only if risk allows it and the oracles see it too."""
        given = SignalReportSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        key = request.headers.get("Idempotency-Key")
        if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
            raise serializers.ValidationError({"Idempotency-Key": f"A key has 1 to {LONGEST_KEY} printable letters."})
        signal, new = reporting.report_signal(request.user, given.signal(), utcnow(), key)  # type: ignore[arg-type]
        return Response(SignalSerializer(signal).data, status=201 if new else 200)


class SignalAccuracy(APIView):
    """Whether the signals were right."""

    permission_classes = (IsAuthenticated,)

    @extend_schema(
        operation_id="signals_accuracy",
        summary="Accuracy and P&L of the signals of the last hours",
        tags=["signals"],
        parameters=[Window],
        responses=AccuracySerializer,
    )
    def get(self, request: Request) -> Response:
        """Judged by the price a quarter of an hour after each signal."""
        hours = asked(Window, request)["hours"]
        return Response(AccuracySerializer(accuracy.summary(hours, market_now(utcnow())).as_dict()).data)
