"""Test sessions have services of their own and leave nothing behind."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from tests.site.local.seeing import servers_of, until

CONFTEST = Path(__file__).parents[2] / "conftest.py"
SESSION = f"""
import os, runpy, time
runpy.run_path({str(CONFTEST)!r})
print(os.environ["MESH_DATA_DIR"], os.environ["MESH_DATABASE_URL"], flush=True)
time.sleep(60)
"""


class Session:
    """A process that imported tests/conftest.py, as pytest does, and now runs its tests."""

    def __init__(self, temporary: Path, **environment: str) -> None:
        outer = {name: value for name, value in os.environ.items() if not name.startswith(("MESH_", "PYTEST_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SESSION],
            env={**outer, **environment, "TMPDIR": str(temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        directory, self.database_url = self.process.stdout.readline().split()
        self.directory = Path(directory)

    def servers(self) -> set[str]:
        """The names of its servers."""
        return {process.name() for process in servers_of(self.directory)}

    def end(self, number: signal.Signals) -> None:
        """Send the signal and wait."""
        self.process.send_signal(number)
        self.process.communicate(timeout=30)


def test_ctrl_c_stops_the_services_and_removes_their_directory(place: Path) -> None:
    session = Session(place)
    assert session.servers() == {"postgres", "valkey-server"}
    session.end(signal.SIGINT)
    assert session.servers() == set()
    assert not session.directory.exists()


@pytest.mark.long
def test_what_a_killed_session_left_is_removed_by_a_later_one(place: Path) -> None:
    killed = Session(place)
    killed.end(signal.SIGKILL)
    until(lambda: killed.servers() == set())
    os.utime(killed.directory / "lock", (1, 1))
    later = Session(place)
    assert not killed.directory.exists()
    assert later.directory.exists()
    later.end(signal.SIGINT)


def test_another_postgresql_can_be_given(place: Path) -> None:
    url = os.environ["MESH_DATABASE_URL"]
    session = Session(place, MESH_TEST_DATABASE_URL=url)
    assert session.database_url == url
    assert session.servers() == {"valkey-server"}
    session.end(signal.SIGINT)


@pytest.mark.parametrize("variable", ["MESH_REDIS_URL", "MESH_NODES_REDIS_URL"])
def test_a_sessions_valkeys_are_its_own(place: Path, variable: str) -> None:
    with Redis.from_url(os.environ[variable]) as client:
        home = Path(client.config_get("dir")["dir"])
    assert home.is_relative_to(os.environ["MESH_DATA_DIR"])
    assert home.parent.parent == Path(tempfile.gettempdir())


def test_the_fixtures_give_empty_valkeys_as_administrator(platform_redis: Redis, nodes_broker: Redis) -> None:
    assert platform_redis.dbsize() == nodes_broker.dbsize() == 0
    assert nodes_broker.acl_whoami() == platform_redis.acl_whoami() == "default"


def test_tests_may_create_databases() -> None:
    with psycopg.connect(os.environ["MESH_DATABASE_URL"]) as connection:
        rights = connection.execute("SELECT rolcreatedb FROM pg_roles WHERE rolname = current_user")
        assert rights.fetchone() == (True,)
