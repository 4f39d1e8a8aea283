"""`meshwork local exec`: a command with the services up, and everything stopped afterwards."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from meshwork.local.reload import Watcher
from tests.site.local.seeing import servers_of, until

EXEC = (sys.executable, "-m", "meshwork.local", "exec")
SHOW = (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """No service URLs, and a data directory of our own."""
    with tempfile.TemporaryDirectory(prefix="meshwork-place-") as folder:
        Path(folder).chmod(0o755)
        outer = {name: value for name, value in os.environ.items() if not name.startswith("MESH_")}
        yield {**outer, "MESH_DATA_DIR": str(Path(folder, "data"))}


def services_of(environment: dict[str, str]) -> list[psutil.Process]:
    """The servers of the environment's data directory."""
    return servers_of(Path(environment["MESH_DATA_DIR"]))


def started(environment: dict[str, str], *command: str) -> subprocess.Popen[str]:
    """`exec` with this command, once its services are up."""
    process = subprocess.Popen(
        [*EXEC, "--", *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until(lambda: Path(environment["MESH_DATA_DIR"], "environment.json").exists())
    return process


def test_the_command_gets_the_services_and_its_exit_status_is_ours(environment: dict[str, str]) -> None:
    script = (
        "import os, psycopg, redis, sys;"
        "psycopg.connect(os.environ['MESH_DATABASE_URL']).close();"
        "[redis.Redis.from_url(os.environ[n]).ping() for n in ('MESH_REDIS_URL', 'MESH_NODES_REDIS_URL')];"
        "sys.exit(7)"
    )
    run = subprocess.run([*EXEC, "--", sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert run.returncode == 7, run.stderr
    assert services_of(environment) == []


def test_a_second_command_joins_the_stack_that_is_running(environment: dict[str, str]) -> None:
    with started(environment, "sleep", "60") as first:
        run = subprocess.run([*EXEC, "--", *SHOW], env=environment, capture_output=True, text=True, check=True)
        kept = json.loads(Path(environment["MESH_DATA_DIR"], "environment.json").read_text())
        assert json.loads(run.stdout)["MESH_DATABASE_URL"] == kept["MESH_DATABASE_URL"]
        assert first.poll() is None
        assert len(services_of(environment)) == 3
        first.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_command_and_the_services(environment: dict[str, str], number: signal.Signals) -> None:
    with started(environment, sys.executable, "-c", "import time; print('up', flush=True); time.sleep(4)") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.wait(timeout=30) == 128 + number
    assert services_of(environment) == []


def test_after_kill_9_the_services_end_and_the_next_start_works(environment: dict[str, str]) -> None:
    with started(environment, "sleep", "60") as process:
        process.kill()
    until(lambda: services_of(environment) == [])
    run = subprocess.run([*EXEC, "--", "true"], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_a_fresh_directory_is_gone_afterwards(environment: dict[str, str]) -> None:
    run = subprocess.run([*EXEC, "--fresh", "--", *SHOW], env=environment, capture_output=True, text=True, check=True)
    folder = Path(json.loads(run.stdout)["MESH_DATA_DIR"])
    assert folder != Path(environment["MESH_DATA_DIR"])
    assert not folder.exists()


def test_a_command_that_does_not_exist_is_named(environment: dict[str, str]) -> None:
    run = subprocess.run([*EXEC, "--", "/nowhere/program"], env=environment, capture_output=True, text=True)
    assert run.returncode == 127
    assert "/nowhere/program cannot be run" in run.stderr


def test_a_data_directory_that_holds_other_things_ends_with_one_line(environment: dict[str, str]) -> None:
    Path(environment["MESH_DATA_DIR"]).mkdir()
    Path(environment["MESH_DATA_DIR"], "letter.txt").write_text("dear")
    run = subprocess.run([*EXEC, "--", "true"], env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "holds something else" in run.stderr


def test_a_changed_source_is_seen_once(tmp_path: Path) -> None:
    source = tmp_path / "views.py"
    source.write_text("a = 1")
    watcher = Watcher([tmp_path])
    assert watcher.changes() == []
    source.write_text("a = 2")
    os.utime(source, ns=(1, 1))
    (tmp_path / "notes.txt").write_text("not a source")
    assert watcher.changes() == [source]
    assert watcher.changes() == []
