"""`mesh node doctor`: what keeps this host from working, and what to do about it."""

import shutil
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import redis

from workers.node import identity as identities
from workers.node.config import NodeConfig
from workers.node.errors import NodeError
from workers.node.join import discover
from workers.node.state import NodeState
from workers.protocol.clock import utcnow
from workers.protocol.errors import ProtocolError

LEAST_DISK_MB = 2_000
LARGEST_OFFSET_S = 30


@dataclass(frozen=True)
class Check:
    """One finding; `next_step` is what to do where it is not ok."""

    name: str
    ok: bool
    detail: str
    next_step: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def check_disk(config: NodeConfig) -> Check:
    """Room for models."""
    folder = config.directory if config.directory.exists() else config.directory.parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free // 2**20
    return Check("disk", free >= LEAST_DISK_MB, f"{free} MiB free in {folder}", f"Free at least {LEAST_DISK_MB} MiB.")


def check_enrolled(config: NodeConfig) -> Check:
    """Keys and identity are here and private."""
    try:
        identity = identities.load(config.directory)
    except NodeError as error:
        return Check("enrolment", False, str(error), "Make a token on the site's Register page, then `mesh node join`.")
    mode = (config.directory / "keys" / "signing.key").stat().st_mode & 0o777
    if mode & 0o077:
        return Check("enrolment", False, f"the key file has mode {mode:o}", f"chmod 600 {config.directory}/keys/*.key")
    return Check("enrolment", True, f"{identity.name} is {identity.node_id} on {identity.network}")


def check_platform(config: NodeConfig) -> Check:
    """The site answers, holds the pinned root, and the clocks agree."""
    identity = identities.load(config.directory)
    try:
        network = discover(identity.site_url)
        identity.keys()
    except (NodeError, ProtocolError) as error:
        return Check("platform", False, str(error), "Check the network, a proxy, or the site's status page.")
    if network.get("root_fingerprint") != identity.root_fingerprint:
        return Check("platform", False, "another root key answers there", "Do not run; ask the network's operators.")
    return Check("platform", True, f"{identity.site_url} answers and holds the pinned root key")


def check_node_api(config: NodeConfig) -> Check:
    """The node API answers; its Date header tells the clock offset."""
    identity = identities.load(config.directory)
    try:
        response = httpx.get(f"{identity.node_api}/health", timeout=5)
        there = datetime.strptime(response.headers["date"], "%a, %d %b %Y %H:%M:%S %Z").replace(tzinfo=utcnow().tzinfo)
        offset = abs((there - utcnow()).total_seconds())
    except (httpx.HTTPError, KeyError, ValueError) as error:
        return Check("node API", False, f"{identity.node_api}: {error}", "Allow outgoing connections to that port.")
    if offset > LARGEST_OFFSET_S:
        return Check(
            "node API", False, f"the clock is off by {offset:.0f} s", "Set the clock (systemd-timesyncd, NTP)."
        )
    return Check("node API", response.is_success, f"{identity.node_api} answers, clock within {offset:.0f} s")


def check_broker(config: NodeConfig) -> Check:
    """The broker takes this node's account."""
    broker = identities.load(config.directory).broker
    parts = urlsplit(broker.url)
    try:
        client = redis.Redis(
            host=parts.hostname or "localhost",
            port=parts.port or 6379,
            ssl=parts.scheme == "rediss",
            username=broker.username,
            password=broker.password,
            socket_timeout=5,
        )
        client.ping()
    except redis.AuthenticationError as error:
        return Check("broker", False, str(error), "The account was revoked. See the node's page for the reason.")
    except (redis.RedisError, OSError) as error:
        return Check(
            "broker", False, f"{broker.url}: {error}", "Use --transport http where the broker is out of reach."
        )
    return Check("broker", True, f"{broker.url} takes the account {broker.username}")


def check_gateway(config: NodeConfig) -> Check:
    """The gateway's port is open."""
    identity = identities.load(config.directory)
    parts = urlsplit(identity.gateway)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        socket.create_connection((parts.hostname or "localhost", port), timeout=5).close()
    except OSError as error:
        return Check("gateway", False, f"{identity.gateway}: {error}", "Allow outgoing WebSockets to that port.")
    return Check("gateway", True, f"{identity.gateway} is reachable")


def check_results(config: NodeConfig) -> Check:
    """No result waits to be posted."""
    waiting = len(NodeState(config.directory).kept_results())
    return Check("results", waiting == 0, f"{waiting} wait to be posted", "Start the node; they are posted by itself.")


def examine(config: NodeConfig) -> list[Check]:
    """All checks in order; those that need an enrolled node are left out where there is none."""
    checks = [check_disk(config), check_enrolled(config)]
    more: list[Callable[[NodeConfig], Check]] = [
        check_platform,
        check_node_api,
        check_broker,
        check_gateway,
        check_results,
    ]
    return checks + [check(config) for check in more] if checks[1].ok else checks
