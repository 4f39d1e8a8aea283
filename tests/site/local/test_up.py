"""`meshwork local up`: the platform serves, survives kill -9 of each of its processes, and stops as a whole."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.site.local.seeing import servers_of, until

PLATFORM = {
    "site": "meshwork.asgi:application",
    "node_api": "meshwork.wsgi:application",
    "worker": "platform@%h",
    "beat": "beat",
    "dispatcher": "run_dispatcher",
}


class Up:
    """A running `up`, its standard error in a file."""

    def __init__(self, place: Path) -> None:
        outer = {name: value for name, value in os.environ.items() if not name.startswith(("MESH_", "PYTEST_"))}
        self.directory = place / "data"
        self.terminal = place / "terminal"
        with self.terminal.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "meshwork.local", "up"],
                env={**outer, "MESH_DATA_DIR": str(self.directory)},
                stderr=stderr,
            )
        until(lambda: "Ctrl-C stops everything." in self.said() or self.process.poll() is not None, 120)
        assert self.process.poll() is None, self.said()
        self.environment: dict[str, str] = json.loads((self.directory / "environment.json").read_text())

    def said(self) -> str:
        """What the terminal shows."""
        return self.terminal.read_text()

    def leader(self, name: str) -> psutil.Process | None:
        """The platform's process of this name."""
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # also one that died and is not reaped yet
                if PLATFORM[name] in child.cmdline():
                    return child
        return None

    def get(self, variable: str, path: str = "/.well-known/meshwork") -> httpx.Response:
        """The answer of the site or the node API."""
        return httpx.get(self.environment[variable] + path, timeout=10)

    def serves(self) -> bool:
        """Whether site and node API answer."""
        try:
            return all(self.get(name).status_code == 200 for name in ("MESH_SITE_URL", "MESH_NODE_API_URL"))
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    with tempfile.TemporaryDirectory(prefix="meshwork-place-") as folder:
        Path(folder).chmod(0o755)
        running = Up(Path(folder))
        yield running
        running.process.terminate()
        running.process.wait(timeout=60)


def test_site_and_node_api_say_which_network_this_is(up: Up) -> None:
    for variable in ("MESH_SITE_URL", "MESH_NODE_API_URL"):
        network = up.get(variable).json()
        assert network["network"] == "meshwork-testnet"
        assert network["urls"]["site"] == up.environment["MESH_SITE_URL"]


def test_static_files_are_served_beside_the_application(up: Up) -> None:
    answer = up.get("MESH_SITE_URL", "/static/app.css")
    assert answer.headers["Content-Type"].startswith("text/css")
    assert answer.text


@pytest.mark.parametrize("name", PLATFORM)
def test_each_process_comes_back_after_a_kill(up: Up, name: str) -> None:
    before = up.leader(name)
    assert before is not None, up.said()
    os.kill(before.pid, signal.SIGKILL)
    until(lambda: (now := up.leader(name)) is not None and now.pid != before.pid)
    until(up.serves, 60)
    assert f"{name}: died (killed by SIGKILL)" in up.said()


def test_sigterm_stops_everything(up: Up) -> None:
    family = psutil.Process(up.process.pid).children(recursive=True)
    up.process.terminate()
    assert up.process.wait(timeout=60) == 0
    assert servers_of(up.directory) == []
    assert [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []
