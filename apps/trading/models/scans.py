"""Network paths as they were measured."""

from django.db import models

from apps.trading.models.markets import Source


class ScanTarget(models.Model):
    """A host whose path is watched, and the pairs that it stands for."""

    host = models.CharField(max_length=253, unique=True)
    category = models.CharField(max_length=40, default="exchange")
    pairs = models.JSONField(default=list)
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["host"]

    def __str__(self) -> str:
        return self.host


class Scan(models.Model):
    """One traceroute or ping: hops in order, silent ones kept silent, the first private ones masked.

    `hops`: [{"hop": 1, "ip": "192.0.2.1" or null, "rtt_ms": 1.25 or null, "masked": false}, …].
    `total_rtt_ms` is the last answering hop's and null where nothing answered.
    """

    id = models.CharField(primary_key=True, max_length=40)
    target = models.ForeignKey(ScanTarget, on_delete=models.PROTECT, related_name="scans")
    source = models.CharField(max_length=6, choices=Source)
    method = models.CharField(max_length=12, default="udp")
    node = models.ForeignKey("operators.Node", null=True, on_delete=models.PROTECT, related_name="scans")
    vantage = models.CharField(max_length=80)
    region = models.CharField(max_length=40, blank=True)
    measured_at = models.DateTimeField()
    received_at = models.DateTimeField()
    total_rtt_ms = models.FloatField(null=True)
    hops = models.JSONField(default=list)
    route_sha256 = models.CharField(max_length=64, blank=True)
    recording = models.CharField(max_length=120, blank=True)
    envelope = models.JSONField(null=True)

    class Meta:
        ordering = ["-measured_at"]
        constraints = [
            models.UniqueConstraint(fields=["target", "vantage", "method", "measured_at"], name="trading_scan_once"),
            models.CheckConstraint(
                condition=models.Q(total_rtt_ms=None) | models.Q(total_rtt_ms__gte=0, total_rtt_ms__lte=60_000),
                name="trading_scan_rtt_possible",
            ),
        ]
        indexes = [
            models.Index(fields=["target", "vantage", "-measured_at"], name="trading_scan_series"),
            models.Index(fields=["-measured_at"], name="trading_scan_recent"),
        ]

    def __str__(self) -> str:
        return self.id


class ScanRun(models.Model):
    """One scan that one node was, or will be, asked for. Its id becomes the scan's. All times are the wall's."""

    id = models.CharField(primary_key=True, max_length=40)
    target = models.ForeignKey(ScanTarget, on_delete=models.CASCADE, related_name="runs")
    node = models.ForeignKey("operators.Node", on_delete=models.PROTECT, related_name="scan_runs")
    method = models.CharField(max_length=12, default="udp")
    cycle_at = models.DateTimeField()
    due_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-due_at"]
        constraints = [
            models.UniqueConstraint(fields=["target", "node", "cycle_at"], name="trading_scan_asked_once"),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="trading_scan_run_due", condition=models.Q(sent_at=None)),
        ]

    def __str__(self) -> str:
        return self.id
