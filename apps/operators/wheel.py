"""The site's own wheel, packed from the code that runs here: a host needs nothing more than what it depends on."""

import base64
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import Distribution, distribution
from io import BytesIO
from pathlib import Path
from threading import Lock
from uuid import uuid4

from django.conf import settings

NAME = "meshwork"
# The same files give the same bytes, whenever and wherever they are packed.
STAMP = (2020, 1, 1, 0, 0, 0)
MODE = 0o100644 << 16
_packing = Lock()
# Made anew here, or true of one installation only.
LEFT_OUT = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}


@dataclass(frozen=True)
class Wheel:
    """A wheel on disk: its file name, SHA-256 in hex, size in bytes."""

    name: str
    path: Path
    sha256: str
    size: int


def current() -> Wheel:
    """This process' code as a wheel, packed once and kept in the data directory under its hash."""
    # A cache alone lets threads that come together pack it each.
    with _packing:
        return _packed()


@lru_cache(maxsize=1)
def _packed() -> Wheel:
    found = distribution(NAME)
    content = pack(members(found), f"{NAME}-{found.version}.dist-info")
    digest = sha256(content).hexdigest()
    path = settings.DATA_DIR / "wheels" / digest / f"{NAME}-{found.version}-py3-none-any.whl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.{uuid4().hex}")
        temporary.write_bytes(content)
        temporary.replace(path)
    return Wheel(path.name, path, digest, len(content))


def members(found: Distribution) -> dict[str, Path]:
    """What belongs into the wheel, by its name there: code and templates, then the metadata of the installation."""
    return {**(sources() if is_checkout() else installed(found)), **metadata(found)}


def is_checkout() -> bool:
    """Whether this code runs from its repository instead of from an installed wheel."""
    return (settings.ROOT / "pyproject.toml").exists() and (settings.ROOT / "workers").is_dir()


def sources() -> dict[str, Path]:
    """The repository's files as the build puts them into a wheel."""
    root: Path = settings.ROOT
    folders = {"meshwork": settings.PACKAGE, "apps": root / "apps", "workers": root / "workers"}
    folders["meshwork/templates"] = root / "templates"
    found = {f"{name}/{path.relative_to(top).as_posix()}": path for name, top in folders.items() for path in below(top)}
    beside = {"meshwork/data.lock": root / "data.lock", "meshwork/operators.md": root / "docs" / "operators.md"}
    return {**found, **beside}


def below(folder: Path) -> list[Path]:
    """Files of a folder that are somebody's work: nothing compiled, nothing hidden."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return [
        path for path in paths if not any(p == "__pycache__" or p[0] == "." for p in path.relative_to(folder).parts)
    ]


def installed(found: Distribution) -> dict[str, Path]:
    """The files of an installed wheel, its scripts and what was compiled since left out."""
    names = [file.as_posix() for file in found.files or [] if ".dist-info/" not in file.as_posix()]
    kept = [name for name in names if not name.startswith("..") and not name.endswith(".pyc")]
    return {name: Path(str(found.locate_file(name))) for name in kept}


def metadata(found: Distribution) -> dict[str, Path]:
    """Name, version, dependencies, commands and licence, as the build wrote them."""
    files = [file for file in found.files or [] if ".dist-info/" in file.as_posix()]
    return {f.as_posix(): Path(str(found.locate_file(f))) for f in files if f.name not in LEFT_OUT}


def pack(files: Mapping[str, Path], info: str) -> bytes:
    """A wheel of these files, in order of their names, with its RECORD."""
    record: list[str] = []
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            content = files[name].read_bytes()
            digest = base64.urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(content)}")
            _put(archive, name, content)
        record.append(f"{info}/RECORD,,")
        _put(archive, f"{info}/RECORD", ("\n".join(record) + "\n").encode())
    return buffer.getvalue()


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, STAMP)
    entry.external_attr = MODE
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)
