"""Who this node is: its keys, which never leave the machine, and what the platform issued at enrolment."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workers.node.errors import NotEnrolled
from workers.protocol.keylist import KeyList, open_key_list
from workers.protocol.keys import SealingKey, SigningKey


@dataclass(frozen=True)
class Broker:
    """The node's account on the nodes' broker. It can do one thing: BRPOP under its own prefix."""

    url: str
    username: str
    password: str
    prefix: str


@dataclass(frozen=True)
class Identity:
    """What enrolment made known; kept in identity.json, readable by its owner alone."""

    node_id: str
    name: str
    network: str
    root_fingerprint: str
    site_url: str
    node_api: str
    gateway: str
    broker: Broker
    key_list: dict[str, Any]
    lanes: dict[str, int]

    def keys(self) -> KeyList:
        """The platform's keys, checked against the pinned root every time they are read."""
        return open_key_list(self.key_list, self.root_fingerprint)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_or_make_keys(directory: Path) -> tuple[SigningKey, SealingKey]:
    """The node's signing and sealing keys, made on first use."""
    signing_path, sealing_path = directory / "keys" / "signing.key", directory / "keys" / "sealing.key"
    if not signing_path.exists():
        write_private(signing_path, SigningKey.generate().private_bytes)
    if not sealing_path.exists():
        write_private(sealing_path, SealingKey.generate().private_bytes)
    return SigningKey.from_bytes(signing_path.read_bytes()), SealingKey.from_bytes(sealing_path.read_bytes())


def keys_changed_at(directory: Path) -> int:
    """When the signing key was last written, in ns; 0 where there is none."""
    path = directory / "keys" / "signing.key"
    return path.stat().st_mtime_ns if path.exists() else 0


def save(directory: Path, identity: Identity) -> None:
    """Keep what the platform issued."""
    write_private(directory / "identity.json", json.dumps(asdict(identity), indent=1).encode())


def load(directory: Path) -> Identity:
    """Read it back; raises NotEnrolled where there is none."""
    try:
        values = json.loads((directory / "identity.json").read_text())
    except FileNotFoundError:
        raise NotEnrolled(f"{directory} holds no enrolled node. Run `mesh node join` first.") from None
    return Identity(**{**values, "broker": Broker(**values["broker"])})


def is_enrolled(directory: Path) -> bool:
    """Whether the directory holds an enrolled node."""
    return (directory / "identity.json").exists()
