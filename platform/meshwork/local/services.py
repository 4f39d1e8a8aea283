"""PostgreSQL and the two Valkeys of a data directory, embedded unless the environment names others."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from meshwork.local.directory import DataDirectory
from meshwork.local.errors import ExternalServiceError
from meshwork.local.postgres import Postgres
from meshwork.local.supervisor import Supervisor
from meshwork.local.valkey import Valkey

PORTS = {"postgres": 15_432, "valkey-platform": 16_379, "valkey-nodes": 16_380}
VARIABLES = {
    "postgres": "MESH_DATABASE_URL",
    "valkey-platform": "MESH_REDIS_URL",
    "valkey-nodes": "MESH_NODES_REDIS_URL",
}
NODES_MEMORY = "256mb"


def start_services(
    directory: DataDirectory,
    supervisor: Supervisor,
    *,
    external: Mapping[str, str] = os.environ,
    disposable: bool = False,
) -> dict[str, str]:
    """Start what `external` does not name; return the three URLs by variable once all of them answer."""
    urls = {name: external[variable] for name, variable in VARIABLES.items() if external.get(variable)}
    _check_apart(urls)
    embedded = {name: port for name, port in PORTS.items() if name not in urls}
    ports = directory.choose_ports(dict.fromkeys(embedded, 0) if disposable else embedded)
    for name in ("valkey-platform", "valkey-nodes"):
        if name in ports:
            urls[name] = _start_valkey(directory, supervisor, name, ports[name])
    postgres = None
    if "postgres" in ports:
        postgres = Postgres(
            home=directory.path / "postgres",
            programs=directory.programs,
            port=ports["postgres"],
            admin_password=directory.secret("postgres-admin"),
            password=directory.secret("postgres"),
            account=directory.account,
            disposable=disposable,
        )
        supervisor.add(postgres.process(directory.log("postgres")))
        urls["postgres"] = postgres.url
    supervisor.wait_ready(ports)
    if postgres:
        postgres.ensure_database()
    return {variable: urls[name] for name, variable in VARIABLES.items()}


def _start_valkey(directory: DataDirectory, supervisor: Supervisor, name: str, port: int) -> str:
    server = Valkey(
        name=name,
        home=directory.path / name,
        programs=directory.programs,
        port=port,
        password=directory.secret(name),
        maxmemory=NODES_MEMORY if name == "valkey-nodes" else "0",
        account=directory.account,
    )
    supervisor.add(server.process(directory.log(name)))
    return server.url


def _check_apart(urls: Mapping[str, str]) -> None:
    """The nodes' broker must be a server of its own: accounts and memory are per server, not per database number."""
    if "valkey-nodes" in urls and "valkey-platform" in urls:
        platform, nodes = urlsplit(urls["valkey-platform"]), urlsplit(urls["valkey-nodes"])
        if (platform.hostname, platform.port) == (nodes.hostname, nodes.port):
            raise ExternalServiceError("MESH_REDIS_URL and MESH_NODES_REDIS_URL must be two servers, not one.")
