"""A data directory belongs to one stack and one user, and holds nothing else."""

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshwork.local import ports
from meshwork.local.directory import DataDirectory, default_path, running_environment
from meshwork.local.errors import DataDirectoryError

IS_ROOT = os.geteuid() == 0
root_only = pytest.mark.skipif(not IS_ROOT, reason="needs root: it is about the system user that root runs services as")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may pass through, as a data directory's parent must be for root."""
    with tempfile.TemporaryDirectory(prefix="meshwork-place-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def directory(place: Path) -> Iterator[DataDirectory]:
    opened = DataDirectory(place / "data")
    yield opened
    opened.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_directory_in_use_is_refused_with_the_pid_of_its_user(directory: DataDirectory) -> None:
    with pytest.raises(DataDirectoryError, match=rf"in use by another stack \(pid {os.getpid()}\)"):
        DataDirectory(directory.path)


def test_a_closed_directory_is_opened_again_with_the_same_secrets_and_ports(place: Path) -> None:
    first = DataDirectory(place / "data")
    kept = first.secret("django"), first.choose_ports({"site": 0})
    first.close()
    second = DataDirectory(place / "data")
    assert (second.secret("django"), second.choose_ports({"site": 0})) == kept
    second.close()


def test_nobody_else_may_look_inside(directory: DataDirectory) -> None:
    assert mode(directory.path) == (0o710 if IS_ROOT else 0o700)
    assert mode(directory.path / "secrets") == 0o700
    directory.secret("django")
    assert mode(directory.path / "secrets" / "django") == 0o600
    assert mode(directory.logs) == 0o700


def test_a_directory_that_others_may_enter_is_refused(place: Path) -> None:
    DataDirectory(place / "data").close()
    (place / "data").chmod(0o755)
    with pytest.raises(DataDirectoryError, match="open to others"):
        DataDirectory(place / "data")


def test_a_directory_with_other_things_in_it_is_refused_and_left_as_it_was(place: Path) -> None:
    (place / "data").mkdir()
    (place / "data" / "letter.txt").write_text("dear")
    (place / "data").chmod(0o755)
    with pytest.raises(DataDirectoryError, match="holds something else"):
        DataDirectory(place / "data")
    assert mode(place / "data") == 0o755


def test_a_file_in_its_place_is_refused(place: Path) -> None:
    (place / "data").write_text("")
    with pytest.raises(DataDirectoryError, match="not a directory"):
        DataDirectory(place / "data")


@root_only
def test_a_directory_of_another_user_is_refused(place: Path) -> None:
    (place / "data").mkdir()
    os.chown(place / "data", 65534, 65534)
    with pytest.raises(DataDirectoryError, match="belongs to uid 65534"):
        DataDirectory(place / "data")


@root_only
def test_a_place_that_the_system_user_cannot_reach_is_refused_and_not_opened(place: Path) -> None:
    place.chmod(0o700)
    with pytest.raises(DataDirectoryError, match=f"cannot pass through {place}"):
        DataDirectory(place / "data")
    assert mode(place) == 0o700


def test_a_secret_that_others_can_read_is_refused(directory: DataDirectory) -> None:
    directory.secret("django")
    (directory.path / "secrets" / "django").chmod(0o644)
    with pytest.raises(DataDirectoryError, match=r"mode 644.*chmod 600"):
        directory.secret("django")


def test_a_busy_port_is_passed_over(directory: DataDirectory) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert not ports.is_free(port)
        chosen = directory.choose_ports({"site": port})["site"]
        assert chosen != port
        assert ports.is_free(chosen)


def test_two_names_never_get_the_same_port(directory: DataDirectory) -> None:
    free = ports.choose(())
    chosen = directory.choose_ports({"site": free, "node_api": free})
    assert chosen["site"] == free
    assert chosen["node_api"] != free


def test_an_environment_is_joined_only_while_its_stack_runs(directory: DataDirectory) -> None:
    directory.publish_environment({"MESH_SITE_URL": "http://localhost:1", "HOME": "/somewhere"})
    assert running_environment(directory.path) == {"MESH_SITE_URL": "http://localhost:1"}


def test_there_is_nothing_to_join_where_no_stack_runs(place: Path) -> None:
    assert running_environment(place / "data") is None
    DataDirectory(place / "data").close()
    assert running_environment(place / "data") is None


def test_the_variable_names_the_directory(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setenv("MESH_DATA_DIR", str(place / "elsewhere"))
    assert default_path() == place / "elsewhere"


def test_without_it_root_has_var_lib_and_others_their_data_home(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.delenv("MESH_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(place))
    assert default_path() == (Path("/var/lib/meshwork") if IS_ROOT else place / "meshwork")
