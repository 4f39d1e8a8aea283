"""The artifact store: files under the data directory, named by their SHA-256, written whole or not at all."""

import os
import shutil
from datetime import datetime
from hashlib import file_digest
from pathlib import Path
from tempfile import NamedTemporaryFile

from django.conf import settings

from apps.models.errors import ArtifactMismatch, ArtifactUnknown
from apps.models.models import Artifact


def folder() -> Path:
    """Where artifacts lie."""
    return Path(settings.DATA_DIR) / "artifacts"


def path_of(sha256: str) -> Path:
    """The file of an artifact; two digits of its hash make the subfolder."""
    return folder() / sha256[:2] / sha256


def digest(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def put(source: Path, now: datetime, *, expected: str | None = None) -> Artifact:
    """Take a file into the store. Raises ArtifactMismatch where it is not the expected one."""
    sha256 = digest(source)
    if expected is not None and expected != sha256:
        raise ArtifactMismatch
    target = path_of(sha256)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=target.parent, delete=False) as copy:
            with source.open("rb") as original:
                shutil.copyfileobj(original, copy, 2**20)
            copy.flush()
            os.fsync(copy.fileno())
        Path(copy.name).replace(target)
    row, _ = Artifact.objects.get_or_create(sha256=sha256, defaults={"size": target.stat().st_size, "created_at": now})
    return row


def open_path(sha256: str) -> Path:
    """The file of a known artifact. Raises ArtifactUnknown."""
    path = path_of(sha256)
    if not Artifact.objects.filter(pk=sha256).exists() or not path.exists():
        raise ArtifactUnknown
    return path
