"""Scans, signals and their accuracy as JSON; what comes in is checked here once."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from apps.trading import scans
from apps.trading.models import Direction, Scan, Signal, SignalKind
from apps.trading.signals import band

HIGHEST_CONFIDENCE = 0.95


class Strict(serializers.Serializer[Any]):
    """No field that is not known, so that a misspelt one is not ignored."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What was given, if all of it is known."""
        given = self.initial_data if isinstance(self.initial_data, Mapping) else {}
        unknown = sorted(set(given) - set(self.fields))
        if unknown:
            raise serializers.ValidationError(dict.fromkeys(unknown, "There is no such field."))
        return attrs


class HopSerializer(serializers.Serializer[Any]):
    """One place of a path; null where nobody answered, `masked` where the address is hidden."""

    hop = serializers.IntegerField(min_value=1, max_value=scans.MOST_HOPS)
    ip = serializers.IPAddressField(allow_null=True, default=None)
    rtt_ms = serializers.FloatField(allow_null=True, default=None)
    masked = serializers.BooleanField(default=False)


class ScanReportSerializer(Strict):
    """A measured path. `total_rtt_ms` (or `total_rtt`) is the time of the last hop that answered."""

    host = serializers.CharField(max_length=253)
    hops = HopSerializer(many=True, required=False)
    total_rtt_ms = serializers.FloatField(required=False, allow_null=True)
    total_rtt = serializers.FloatField(required=False, allow_null=True, help_text="The same as total_rtt_ms.")
    method = serializers.ChoiceField(choices=scans.METHODS, default="udp")
    measured_at = serializers.DateTimeField(required=False, help_text="Now, where it is left out.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One of the two names of the time, and something measured."""
        given = super().validate(attrs)
        if "total_rtt" in given:
            if "total_rtt_ms" in given:
                raise serializers.ValidationError({"total_rtt": "Give total_rtt_ms or total_rtt, not both."})
            given["total_rtt_ms"] = given.pop("total_rtt")
        if not given.get("hops") and "total_rtt_ms" not in given:
            raise serializers.ValidationError({"hops": "A scan has hops or total_rtt_ms."})
        return given


class ScanSerializer(serializers.ModelSerializer[Scan]):
    """A path as it was measured."""

    host = serializers.CharField(source="target.host")
    pairs = serializers.ListField(child=serializers.CharField(), source="target.pairs")
    node = serializers.CharField(source="node_id", allow_null=True)
    hops = HopSerializer(many=True)

    class Meta:
        model = Scan
        fields = (
            "id",
            "host",
            "pairs",
            "source",
            "method",
            "node",
            "vantage",
            "region",
            "measured_at",
            "received_at",
            "total_rtt_ms",
            "hops",
            "route_sha256",
            "recording",
        )


class SignalReportSerializer(Strict):
    """A signal as somebody reports it."""

    type = serializers.ChoiceField(choices=SignalKind.choices)
    pair = serializers.CharField(max_length=20)
    direction = serializers.ChoiceField(choices=Direction.choices)
    confidence = serializers.FloatField(min_value=0, max_value=HIGHEST_CONFIDENCE)
    host = serializers.CharField(max_length=253, required=False)

    def signal(self) -> dict[str, Any]:
        """What was validated, by the row's names."""
        values = dict(self.validated_data)
        return {**values, "kind": values.pop("type")}


class SignalSerializer(serializers.ModelSerializer[Signal]):
    """A signal, its band, what became of it and, once it was judged, whether it was right."""

    type = serializers.CharField(source="kind")
    host = serializers.CharField(source="target.host", default=None, allow_null=True)
    node = serializers.CharField(source="node_id", allow_null=True)
    band = serializers.SerializerMethodField()
    correct = serializers.BooleanField(source="outcome.correct", default=None, allow_null=True)
    pnl = serializers.FloatField(source="outcome.pnl", default=None, allow_null=True)

    class Meta:
        model = Signal
        fields = (
            "id",
            "type",
            "host",
            "vantage",
            "node",
            "pair",
            "direction",
            "confidence",
            "band",
            "strength",
            "details",
            "framework",
            "source",
            "status",
            "reason",
            "market_at",
            "expires_at",
            "taken_at",
            "created_at",
            "correct",
            "pnl",
        )

    def get_band(self, signal: Signal) -> str | None:
        """The band of its confidence."""
        return band(signal.confidence)


class AccuracySerializer(serializers.Serializer[Any]):
    """What came of the signals of the last hours. Ratios are null where nothing was judged; P&L is a fraction."""

    hours = serializers.FloatField()
    signals = serializers.IntegerField()
    signals_per_day = serializers.FloatField()
    judged = serializers.IntegerField()
    per_day = serializers.FloatField(help_text="Judged signals a day.")
    correct = serializers.IntegerField()
    accuracy = serializers.FloatField(allow_null=True)
    total_pnl = serializers.FloatField()
    total_pnl_after_fees = serializers.FloatField()
    wins = serializers.IntegerField(help_text="After fees.")
    losses = serializers.IntegerField(help_text="After fees.")
    win_loss = serializers.FloatField(allow_null=True)
    enough = serializers.BooleanField(help_text="Whether enough signals were judged to say anything.")
    quality = serializers.CharField(help_text="too few, worse than random, undecided or good")
    break_even = serializers.FloatField(help_text="Share of wins that is needed; above 1 it cannot be.")
