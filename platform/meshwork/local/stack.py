"""A whole Meshwork on this machine: data directory, services, environment, the platform's processes."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from meshwork.local import processes
from meshwork.local.directory import DataDirectory, default_path
from meshwork.local.errors import ServiceFailedError
from meshwork.local.services import start_services
from meshwork.local.supervisor import Process, Supervisor, say


@dataclass(frozen=True)
class Stack:
    """Services that are up. `environment` is the whole environment of the platform's processes."""

    directory: DataDirectory
    supervisor: Supervisor
    ports: Mapping[str, int]
    environment: Mapping[str, str]

    @property
    def urls(self) -> dict[str, str]:
        """Where people and nodes find the platform: site, node_api, gateway."""
        names = {"site": "MESH_SITE_URL", "node_api": "MESH_NODE_API_URL", "gateway": "MESH_GATEWAY_URL"}
        return {name: self.environment[variable] for name, variable in names.items()}

    @property
    def outside_environment(self) -> dict[str, str]:
        """For node agents: the environment without anything of the platform's, so none of its secrets."""
        return {name: value for name, value in self.environment.items() if not name.startswith("MESH_")}

    def prepare(self) -> None:
        """Bring database and static files up to date; raise ServiceFailedError with the output if that fails."""
        run = subprocess.run(
            [sys.executable, "-m", "meshwork.local.prepare"],
            env={**self.environment, "PYTHONSAFEPATH": "1"},
            cwd=self.directory.path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise ServiceFailedError(f"Preparing the database failed:\n{run.stdout}{run.stderr}")

    def start_platform(self, *, mount_static: bool = True, timeout_s: float = 60.0) -> list[str]:
        """Start the platform's processes and wait until they serve; return their names."""
        table = processes.platform_processes(self.directory, self.environment, self.ports, mount_static=mount_static)
        for process in table:
            self.supervisor.add(process)
        names = [process.name for process in table]
        self.supervisor.wait_ready(names, timeout_s)
        return names

    def start_outside(
        self, name: str, argv: Sequence[str], *, extra: Mapping[str, str] | None = None, grace_s: float = 15.0
    ) -> None:
        """Start a node agent or another program that is no part of the platform; it is stopped first at the end."""
        self.supervisor.add(
            Process(
                name=name,
                argv=tuple(argv),
                log=self.directory.log(name),
                env={**self.outside_environment, "PYTHONUNBUFFERED": "1", **(extra or {})},
                stage=2,
                grace_s=grace_s,
            )
        )


@contextmanager
def services_up(path: Path | None = None, report: Callable[[str], None] = say) -> Iterator[Stack]:
    """The services of the data directory at `path` (default: MESH_DATA_DIR and so on), for the block's time."""
    directory = DataDirectory(path or default_path())
    try:
        supervisor = Supervisor(report)
        try:
            urls = start_services(directory, supervisor)
            ports = directory.choose_ports(processes.PORTS)
            for name, preferred in processes.PORTS.items():
                if ports[name] != preferred:
                    report(f"{name}: port {preferred} is not free, so it uses {ports[name]}")
            stack = Stack(directory, supervisor, ports, platform_environment(directory, urls, ports))
            directory.publish_environment(stack.environment)
            yield stack
        finally:
            supervisor.stop()
    finally:
        directory.close()


@contextmanager
def fresh_directory() -> Iterator[Path]:
    """A new data directory that is removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="meshwork-fresh-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def platform_environment(directory: DataDirectory, urls: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """Our environment, with all that the settings read; what is set already stays, except the services' URLs."""
    defaults = {
        "MESH_ENV": "development",
        "MESH_NODES_REDIS_PUBLIC": urlsplit(urls["MESH_NODES_REDIS_URL"]).netloc.rpartition("@")[2],
        "MESH_SITE_URL": f"http://localhost:{ports['site']}",
        "MESH_NODE_API_URL": f"http://localhost:{ports['node_api']}",
        "MESH_GATEWAY_URL": f"ws://localhost:{ports['site']}/ws/node",
    }
    if "MESH_SECRET_KEY_FILE" not in os.environ:
        defaults["MESH_SECRET_KEY"] = directory.secret("django")
    return {**defaults, **os.environ, **urls, "MESH_DATA_DIR": str(directory.path)}
