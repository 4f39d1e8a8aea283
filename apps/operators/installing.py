"""What a machine is given to install the node agent: a script, a Compose file, a systemd unit, settings, the wheel."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.template.loader import render_to_string

from apps.operators import wheel

# What a page shows, in this order; each is a template of its own under operators/install/.
DOCUMENTS = ("install.sh", "compose.yaml", "compose.nvidia.yaml", "meshwork-node.service", "node.yaml")
SUMS = "SHA256SUMS"
GUIDE = "operators.md"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
HEALTH_PORT = 3000
MODEL_SERVER_PORT = 50051


@dataclass(frozen=True)
class Document:
    """One file as the site serves it."""

    name: str
    text: str
    sha256: str

    @property
    def url(self) -> str:
        """Where it is served."""
        return address(self.name)


def address(name: str) -> str:
    """The full address of something under /install/."""
    return f"{settings.SITE_URL}/install/{name}"


def values() -> dict[str, Any]:
    """What the documents are filled with."""
    packed = wheel.current()
    return {
        "site": settings.SITE_URL,
        "network": settings.NETWORK,
        "wheel": packed,
        "wheel_url": address(packed.name),
        "version": packed.name.split("-")[1],
        # Where the site listens on this machine only, a container must share the machine's network to reach it.
        "on_loopback": urlsplit(settings.SITE_URL).hostname in LOOPBACK,
        "health_port": HEALTH_PORT,
        "model_server_port": MODEL_SERVER_PORT,
    }


def document(name: str, given: dict[str, Any] | None = None) -> Document:
    """One document, filled in for this network."""
    text = render_to_string(f"operators/install/{name}", given or values())
    return Document(name, text, sha256(text.encode()).hexdigest())


def guide() -> str:
    """The operators' guide, from the repository or from the installed wheel."""
    paths = (settings.ROOT / "docs" / GUIDE, settings.PACKAGE / GUIDE)
    return str(next(path for path in paths if path.exists()).read_text())


def documents() -> list[Document]:
    """All of them."""
    given = values()
    return [document(name, given) for name in DOCUMENTS]


def sums() -> str:
    """Name and SHA-256 of everything here, as `sha256sum --check` reads it."""
    packed = wheel.current()
    lines = [f"{one.sha256}  {one.name}" for one in documents()]
    return "\n".join([*lines, f"{packed.sha256}  {packed.name}"]) + "\n"


def context(command: str = "") -> dict[str, Any]:
    """What the page with the ways of installing shows; `command` joins, with its token, where there is one."""
    given = values()
    shown = {name.replace(".", "_").replace("-", "_"): document(name, given) for name in DOCUMENTS}
    join = command or f"mesh node join {given['site']} --token mwt_…"
    return {
        **given,
        **shown,
        "sums_url": address(SUMS),
        "guide_url": address(GUIDE),
        "join": join,
        "compose_join": join.removeprefix("mesh "),
    }
