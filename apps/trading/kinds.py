"""The pool's kinds of task for paths and signals, done by the detectors that every node has built in.

A job's `prompt` is a JSON object: {host, rtt_ms, timestamp, hops} for anomaly_detection, {scans: […]} for
batch_analysis, {min_confidence} for get_signals, {hours} for get_accuracy. What a node has to know of our rows (the
earlier scans of the path, the active signals, the judged outcomes) is put into the sealed payload at submission.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.core import parameters
from apps.models.models import Model, ModelVersion
from apps.pool import kinds
from apps.pool.kinds import Chunk, Generate, JobRequest, ResultInvalid, refuse
from apps.trading import accuracy, signals
from apps.trading.market_time import market_now
from apps.trading.models import Scan
from workers.protocol.clock import utcnow
from workers.protocol.ids import new_id

MODEL = "detectors"
VERSION = "1"
TASK = "analysis"
MOST_SCANS = 10_000
MOST_ROWS = 5_000
LONGEST_HOURS = 24 * 366
EARLIER = signals.POINTS - 1
Payload = Callable[[dict[str, Any], datetime], dict[str, Any]]


class Analysis(Generate):
    """A kind whose job is one task over a JSON object."""

    task = TASK
    model = MODEL

    def __init__(self, name: str, title: "str | Promise", fields: tuple[str, ...], payload: Payload) -> None:
        self.name = name
        self.title = title
        self.fields = fields
        self.payload = payload

    @property
    def takes(self) -> str:
        """What the object is made of."""
        return ", ".join(self.fields)

    def split(self, request: JobRequest) -> list[Chunk]:
        if request.inputs or request.options:
            raise refuse("prompt", f"A job of kind {self.name} takes a prompt only, a JSON object.")
        given = self.given(request.prompt)
        sealed = self.payload(given, market_now(utcnow()))
        return [Chunk(json.dumps(sealed, sort_keys=True, separators=(",", ":"), allow_nan=False).encode(), 1, 1)]

    def given(self, prompt: str) -> dict[str, Any]:
        """The prompt's object; raises InputRefused for anything else."""
        longest = parameters.get("pool.max_prompt_chars")
        if len(prompt) > longest:
            raise refuse("prompt", f"A prompt has at most {longest} characters.")
        try:
            given = json.loads(prompt, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise refuse("prompt", "The prompt is a JSON object.") from error
        if not isinstance(given, dict) or set(given) - set(self.fields):
            raise refuse("prompt", f"The prompt is a JSON object of {self.takes}.")
        return given

    def from_data(self, data: dict[str, Any]) -> dict[str, Any]:
        """A dispatch's data as model and prompt."""
        if "prompt" in data:
            return data
        given = {name: value for name, value in data.items() if name != "model"}
        return {"model": data.get("model", MODEL), "prompt": json.dumps(given)}

    def chunking(self, request: JobRequest) -> dict[str, Any]:
        return {}

    def check(self, result: bytes, items: int, manifest: Mapping[str, Any]) -> None:
        answer = self.answer(result)
        wanted = "accuracy" if self.name == "get_accuracy" else "signals"
        if wanted not in answer:
            raise ResultInvalid(f"The answer has no {wanted}.")

    def join(self, results: Sequence[bytes]) -> str:
        return str(self.answer(results[0])["response"])


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is no number")


def scan_of(given: Any, pointer: str) -> dict[str, Any]:
    """A scan as the requester gives it; raises InputRefused."""
    if (
        not isinstance(given, dict)
        or not (isinstance(given.get("host"), str) and given["host"].isprintable())
        or not isinstance(given.get("hops", []), list)
    ):
        raise refuse(pointer, "A scan has host, rtt_ms, timestamp (unix seconds) and hops.")
    rtt, at = given.get("rtt_ms"), given.get("timestamp")
    if rtt is not None and not number(rtt, 0, 60_000):
        raise refuse(pointer, "rtt_ms is 0 to 60,000 ms, or null where nobody answered.")
    if not number(at, 0, 4_102_444_800):
        raise refuse(pointer, "timestamp is unix time in seconds.")
    return {"host": given["host"], "rtt_ms": rtt, "timestamp": at, "hops": given.get("hops", [])}


def number(value: Any, low: float, high: float) -> bool:
    """Whether it is a finite number within the bounds."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    # An integer too large for a float is out of bounds before it is asked whether it is finite.
    return real and low <= value <= high and math.isfinite(value)


def anomaly_detection(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The scan behind the earlier ones of that host, from the vantage whose series is the newest."""
    scan = scan_of(given, "prompt")
    before = Scan.objects.filter(target__host=scan["host"], measured_at__lte=now)
    before = before.filter(measured_at__lt=datetime.fromtimestamp(scan["timestamp"], now.tzinfo))
    newest = before.order_by("-measured_at").first()
    rows = before.filter(vantage=newest.vantage, method=newest.method) if newest else before
    earlier = [
        {"host": scan["host"], "rtt_ms": row[1], "timestamp": row[0].timestamp(), "hops": row[2]}
        for row in rows.order_by("-measured_at").values_list("measured_at", "total_rtt_ms", "hops")[:EARLIER]
    ]
    return {"host": scan["host"], "scans": [*earlier[::-1], scan]}


def batch_analysis(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Only what the requester gives."""
    scans = given.get("scans")
    if not isinstance(scans, list) or not 1 <= len(scans) <= MOST_SCANS:
        raise refuse("prompt", f"scans is a list of 1 to {MOST_SCANS}.")
    return {"scans": [scan_of(scan, "prompt") for scan in scans]}


def get_signals(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The active signals; the node leaves out those that are not confident enough."""
    least = given.get("min_confidence", 0.55)
    if not number(least, 0, 1):
        raise refuse("prompt", "min_confidence is 0 to 1.")
    rows = signals.active(now, 0.0).select_related("target")[:MOST_ROWS]
    return {"min_confidence": least, "signals": [shown(row) for row in rows]}


def shown(row: Any) -> dict[str, Any]:
    """A signal as JSON."""
    return {
        "id": row.pk,
        "type": row.kind,
        "host": row.target.host if row.target else None,
        "pair": row.pair,
        "direction": row.direction,
        "confidence": row.confidence,
        "created_at": row.market_at.isoformat(),
        "expires_at": row.expires_at.isoformat(),
    }


def get_accuracy(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The outcomes of the last hours; the node counts and sums."""
    hours = given.get("hours", 24)
    if not number(hours, 0.01, LONGEST_HOURS):
        raise refuse("prompt", f"hours is 0.01 to {LONGEST_HOURS}.")
    judged = accuracy.within(hours, now).filter(outcome__isnull=False).order_by("-market_at")
    rows = list(judged.values_list("outcome__correct", "outcome__pnl")[: MOST_ROWS + 1])
    if len(rows) > MOST_ROWS:
        raise refuse("prompt", f"More than {MOST_ROWS} signals were judged within {hours} hours: ask for fewer hours.")
    return {"hours": hours, "outcomes": [{"correct": correct, "pnl": pnl} for correct, pnl in rows]}


def all_kinds() -> list[Analysis]:
    """The four kinds."""
    return [
        Analysis("anomaly_detection", _("Judge a path"), ("host", "rtt_ms", "timestamp", "hops"), anomaly_detection),
        Analysis("batch_analysis", _("Judge many paths"), ("scans",), batch_analysis),
        Analysis("get_signals", _("Active signals"), ("min_confidence",), get_signals),
        Analysis("get_accuracy", _("Accuracy of signals"), ("hours",), get_accuracy),
    ]


def register() -> None:
    """Tell the pool of them."""
    for kind in all_kinds():
        kinds.register(kind)


@transaction.atomic
def offer(now: datetime) -> bool:
    """Put the detectors into the catalogue, where they are not there yet; True if they were not."""
    if ModelVersion.objects.filter(model__name=MODEL, active=True).exists():
        return False
    model, _ = Model.objects.get_or_create(
        name=MODEL,
        defaults={
            "id": new_id("mdl", now),
            "title": "Path detectors",
            "family": "detectors",
            "task": TASK,
            "parameters": 0,
            "licence": "Apache-2.0",
            "source": "workers/kernels/detectors.py",
            "description": "Latency anomalies, trend shifts and route changes of network paths. Built into every node.",
            "created_at": now,
        },
    )
    manifest = {"engine": MODEL, "task": TASK, "files": [], "comparator": {"kind": "exact"}}
    ModelVersion.objects.get_or_create(
        model=model,
        version=VERSION,
        defaults={
            "id": new_id("mdv", now),
            "manifest": manifest,
            "min_memory_mb": 256,
            "active": True,
            "created_at": now,
        },
    )
    return True
