"""Reports of machines from before they were checked: what is of another type or size than it should be is left out.

One such value in one row fails every query that adds machines up.
"""

from typing import Any

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Least and most of whole numbers, as they were checked when this was written.
NUMBERS = {
    "gpu_memory_mb": (0, 2**40),
    "cpu_cores": (1, 4096),
    "memory_mb": (1, 2**26),
    "memory_gb": (0, 65_536),
    "disk_free_mb": (0, 2**40),
    "gflops": (0, 10**9),
}
TEXTS = {"gpu_name", "cpu_name", "system", "machine", "python"}
SWITCHES = {"cuda_available", "metal_support", "mlx_available"}
GPU_TYPES = {"cpu", "cuda", "apple_metal"}
MOST_FRAMEWORKS, LONGEST = 50, 200


def is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def fits(name: str, value: Any) -> bool:
    """Whether a field's value can be counted on; fields that nobody reads fit as they are."""
    if name in NUMBERS:
        least, most = NUMBERS[name]
        return type(value) is int and least <= value <= most
    if name in TEXTS:
        return is_text(value)
    if name in SWITCHES:
        return isinstance(value, bool)
    if name == "gpu_type":
        return isinstance(value, str) and value in GPU_TYPES
    if name == "frameworks":
        return isinstance(value, list) and len(value) <= MOST_FRAMEWORKS and all(map(is_text, value))
    return True


def check(apps: Apps, schema_editor: BaseDatabaseSchemaEditor | None) -> None:
    """Leave out what does not fit, of nodes and of hosts of shards."""
    for name in ("Node", "ShardHost"):
        model = apps.get_model("operators", name)
        for pk, probe in model.objects.exclude(probe={}).values_list("pk", "probe").iterator():
            known = probe if isinstance(probe, dict) else {}
            kept = {field: value for field, value in known.items() if fits(field, value)}
            if kept != probe:
                model.objects.filter(pk=pk).update(probe=kept)


class Migration(migrations.Migration):
    dependencies = [("operators", "0007_slash_cases")]
    operations = [migrations.RunPython(check, migrations.RunPython.noop)]
