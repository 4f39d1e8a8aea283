"""Where the command line keeps its key: one private file, overruled by MESH_URL and MESH_API_KEY."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from workers.client.client import MeshClient
from workers.node.identity import write_private

DEFAULT_URL = "http://localhost:8000"


@dataclass(frozen=True)
class Credentials:
    """A network's address and the key used there."""

    url: str
    key: str | None


def path() -> Path:
    """The file, in the user's configuration folder."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "meshwork" / "credentials.json"


def load(url: str | None = None) -> Credentials:
    """The address and key to use: argument, environment, file, in this order."""
    stored: dict[str, str] = {}
    if path().exists():
        stored = json.loads(path().read_text())
    chosen = url or os.environ.get("MESH_URL") or os.environ.get("POOL_URL") or stored.get("url") or DEFAULT_URL
    key = os.environ.get("MESH_API_KEY") or (stored.get("key") if stored.get("url") == chosen.rstrip("/") else None)
    return Credentials(chosen.rstrip("/"), key)


def save(url: str, key: str) -> None:
    """Keep a key for later commands."""
    write_private(path(), json.dumps({"url": url.rstrip("/"), "key": key}).encode())


def forget() -> bool:
    """Remove the stored key; False where there was none."""
    if not path().exists():
        return False
    path().unlink()
    return True


def client(url: str | None = None) -> MeshClient:
    """A client with the stored credentials."""
    credentials = load(url)
    return MeshClient(credentials.url, credentials.key)
