"""A place for data directories."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that every user may pass through, as the parent of root's data directory must be."""
    with tempfile.TemporaryDirectory(prefix="meshwork-place-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
