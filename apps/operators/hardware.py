"""What `mesh node probe --json` printed: read, checked against its schema, and put into an application's words."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from django.utils.translation import gettext as _
from msgspec import Meta

from apps.operators.errors import ProbeRefused

MAX_BYTES = 64 * 1024
Name = Annotated[str, Meta(max_length=200)]
Mebibytes = Annotated[int, Meta(ge=0, le=2**40)]


class Probe(msgspec.Struct, kw_only=True):
    """A probe's report: memory in MiB and GB, speed in GFLOPS float32. Fields that newer programs add are left out."""

    gpu_type: Literal["cpu", "cuda", "apple_metal"]
    gpu_name: Name = ""
    gpu_memory_mb: Mebibytes = 0
    cpu_name: Name = ""
    cpu_cores: Annotated[int, Meta(ge=1, le=4096)]
    memory_mb: Annotated[int, Meta(ge=1, le=2**26)]
    memory_gb: Annotated[int, Meta(ge=1, le=65_536)]
    disk_free_mb: Mebibytes = 0
    frameworks: Annotated[list[Name], Meta(max_length=50)] = []
    system: Name = ""
    machine: Name = ""
    python: Name = ""
    gflops: Annotated[int, Meta(ge=0, le=10**9)] = 0


class EnrolledProbe(Probe, kw_only=True):
    """What an enrolling machine says of itself: nothing of it is required, and all of it is of its type."""

    gpu_type: Literal["cpu", "cuda", "apple_metal"] = "cpu"
    cpu_cores: Annotated[int, Meta(ge=1, le=4096)] = 1
    memory_mb: Annotated[int, Meta(ge=1, le=2**26)] = 1
    memory_gb: Annotated[int, Meta(ge=0, le=65_536)] = 0
    cuda_available: bool = False
    metal_support: bool = False
    mlx_available: bool = False


def read(text: str | bytes) -> dict[str, Any]:
    """The report as a dict of its known fields. Raises ProbeRefused, which names the field that is wrong."""
    if len(text) > MAX_BYTES:
        raise ProbeRefused(_("That is longer than any report of `mesh node probe --json`."))
    try:
        probe = msgspec.json.decode(text, type=Probe)
    except msgspec.ValidationError as error:
        raise ProbeRefused(_("The report does not fit: %(what)s.") % {"what": words_of(error)}) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProbeRefused from error
    return storable(msgspec.to_builtins(probe))


def enrolled(probe: Mapping[str, Any]) -> dict[str, Any]:
    """The known fields of what an enrolling machine says, no more than it says. Raises ProbeRefused."""
    try:
        report = msgspec.to_builtins(msgspec.convert(dict(probe), EnrolledProbe))
    except msgspec.ValidationError as error:
        raise ProbeRefused(_("The report does not fit: %(what)s.") % {"what": words_of(error)}) from error
    return storable({name: value for name, value in report.items() if name in probe})


def storable(report: dict[str, Any]) -> dict[str, Any]:
    """The report, if the database can keep all its texts; raises ProbeRefused."""
    for name, value in report.items():
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and "\x00" in text for text in texts):
            raise ProbeRefused(_("The report does not fit: %(what)s.") % {"what": f"{name} holds a NUL"})
    return report


def words_of(error: msgspec.ValidationError) -> str:
    """What is wrong and where: such as "Expected `int`, got `str` (cpu_cores)"."""
    what, _sep, where = str(error).partition(" - at `$.")
    return f"{what} ({where.rstrip('`')})" if where else what


def fields_of(probe: dict[str, Any]) -> dict[str, Any]:
    """The application's fields that the report fills in; the rest only the applicant knows."""
    return {
        "gpu_type": probe["gpu_type"],
        "gpu_model": (probe["gpu_name"] or "none")[:80],
        "gpu_memory_gb": round(probe["gpu_memory_mb"] / 1024),
        "cpu_cores": probe["cpu_cores"],
        "memory_gb": probe["memory_gb"],
        "operating_system": f"{probe['system']} {probe['machine']}".strip()[:80] or "unknown",
    }


def facts(probe: dict[str, Any]) -> list[tuple[str, Any]]:
    """What was read, as name and value for a page; empty without a report."""
    if not probe:
        return []
    gpu = f"{probe['gpu_name'] or probe['gpu_type']}, {probe['gpu_memory_mb']} MiB"
    return [
        (_("GPU"), _("none") if probe["gpu_type"] == "cpu" else gpu),
        (_("Processor"), f"{probe['cpu_name'] or _('unknown')}, {probe['cpu_cores']} {_('cores')}"),
        (_("Memory"), f"{probe['memory_mb']} MiB"),
        (_("Free on disk"), f"{probe['disk_free_mb']} MiB"),
        (_("Speed, measured"), f"{probe['gflops']} GFLOPS float32" if probe["gflops"] else _("not measured")),
        (_("Frameworks"), ", ".join(probe["frameworks"]) or _("none")),
        (_("System"), f"{probe['system']} {probe['machine']}, Python {probe['python']}"),
    ]


def differences(hardware: dict[str, Any], probe: dict[str, Any]) -> list[str]:
    """What an applicant typed in otherwise than their report has it; empty without a report."""
    if not probe:
        return []
    read_in = fields_of(probe)
    return [
        f"{name.replace('_', ' ')}: {hardware[name]} / {value}"
        for name, value in read_in.items()
        if name in hardware and hardware[name] != value
    ]
