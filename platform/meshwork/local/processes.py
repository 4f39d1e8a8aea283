"""The process table of the platform: what runs beside the services, and how."""

import http.client
import sys
from collections.abc import Callable, Mapping
from functools import partial

from meshwork.local.directory import DataDirectory
from meshwork.local.supervisor import Process

PORTS = {"site": 8000, "node_api": 9090}
PYTHON = (sys.executable, "-m")
GRANIAN = (*PYTHON, "granian", "--host", "127.0.0.1")
CELERY = (*PYTHON, "celery", "-A", "meshwork.celery")


def platform_processes(
    directory: DataDirectory, environment: Mapping[str, str], ports: Mapping[str, int], *, mount_static: bool
) -> list[Process]:
    """Site, node API, Celery worker and beat, dispatcher. `ports` has "site" and "node_api"."""
    static = directory.path / "static"
    # Names carry no hash outside production: a browser may keep them for a minute only.
    mounted = ("--static-path-route", "/static", "--static-path-mount", str(static), "--static-path-expires", "60")
    mount = mounted if mount_static else ()
    site = (*GRANIAN, "--port", str(ports["site"]), "--interface", "asgi", "--ws", *mount, "meshwork.asgi:application")
    node_api = (
        *GRANIAN,
        *("--port", str(ports["node_api"]), "--interface", "wsgi", "--no-ws"),
        *("--workers", "2", "--blocking-threads", "16", "--respawn-failed-workers", "--respawn-interval", "0.2"),
        "meshwork.wsgi:application",
    )
    worker = (*CELERY, "worker", "-n", "platform@%h", "-Q", "control,ledger,mail,market", "--concurrency", "2")
    commands: dict[str, tuple[str, ...]] = {
        "site": site,
        "node_api": node_api,
        "worker": (*worker, "--loglevel", "INFO", "--without-gossip", "--without-mingle"),
        "beat": (*CELERY, "beat", "--loglevel", "INFO"),
        "dispatcher": (*PYTHON, "meshwork", "run_dispatcher"),
    }
    probes: dict[str, Callable[[], bool]] = {
        "site": partial(answers, ports["site"], "/.well-known/meshwork"),
        "node_api": partial(answers, ports["node_api"], "/health"),
    }
    return [
        Process(
            name=name,
            argv=argv,
            log=directory.log(name),
            env={**environment, "MESH_PROCESS": name, "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"},
            cwd=directory.path,
            ready=probes.get(name),
        )
        for name, argv in commands.items()
    ]


def answers(port: int, path: str) -> bool:
    """Whether http://127.0.0.1:`port``path` gives an answer that is not a server error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": f"localhost:{port}"})
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
