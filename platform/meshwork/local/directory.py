"""The data directory: everything a local stack keeps, for one stack at a time.

lock  ports.json  environment.json  secrets/  programs/  postgres/  valkey-platform/  valkey-nodes/  logs/
"""

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from meshwork.local import ports
from meshwork.local.errors import DataDirectoryError
from meshwork.local.files import Account, read_private, secret, service_account, write_private

FOREIGN = 0o027  # what nobody but the owner may have: group write, and anything for others


def default_path() -> Path:
    """MESH_DATA_DIR; else /var/lib/meshwork for root and the user's data home for anyone else."""
    chosen = os.environ.get("MESH_DATA_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path("/var/lib/meshwork") if os.geteuid() == 0 else platformdirs.user_data_path("meshwork")


class DataDirectory:
    """An open data directory; the lock is held until `close`.

    Mode 0700. For root 0710 with the group of the system user, which must pass through to its own folders and no more.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.account: Account | None = service_account()
        self._prepare()
        self._lock = self._take_lock()

    def close(self) -> None:
        """Let another stack use the directory."""
        self.forget_environment()
        os.close(self._lock)

    @property
    def programs(self) -> Path:
        """Copies of the services' binaries, for root only."""
        return self.path / "programs"

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.path / "logs"

    def log(self, name: str) -> Path:
        """The log of the process `name`."""
        return self.logs / f"{name}.log"

    def secret(self, name: str) -> str:
        """The secret called `name`, made once."""
        return secret(self.path / "secrets" / name)

    def choose_ports(self, preferred: Mapping[str, int]) -> dict[str, int]:
        """A free port for each name: last time's, else the preferred one (0: any), else one near it. Remembered."""
        file = self.path / "ports.json"
        before: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        chosen: dict[str, int] = {}
        for name, port in preferred.items():
            near = range(port, port + 10) if port else ()
            chosen[name] = ports.choose([before.get(name, port), *near], chosen.values())
        write_private(file, json.dumps(before | chosen, indent=1))
        return chosen

    def publish_environment(self, environment: Mapping[str, str]) -> None:
        """Let `meshwork local exec` of the same user join the running stack."""
        ours = {name: value for name, value in environment.items() if name.startswith("MESH_")}
        write_private(self.path / "environment.json", json.dumps(ours))

    def forget_environment(self) -> None:
        """The stack is no longer there to join."""
        (self.path / "environment.json").unlink(missing_ok=True)

    def _prepare(self) -> None:
        path = self.path
        if path.exists():
            _check_ours(path)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        if self.account is not None:
            _check_reachable(path.parent, self.account)
            os.chown(path, 0, self.account.gid)
            path.chmod(0o710)
        for private in (self.path / "secrets", self.logs):
            private.mkdir(mode=0o700, exist_ok=True)
            private.chmod(0o700)
        self.programs.mkdir(exist_ok=True)
        self.programs.chmod(0o755)

    def _take_lock(self) -> int:
        file = self.path / "lock"
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 20).decode() or "unknown"
            os.close(descriptor)
            raise DataDirectoryError(
                f"{self.path} is in use by another stack (pid {holder}). "
                "Stop that one, or set MESH_DATA_DIR to another place."
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor


def running_environment(path: Path) -> dict[str, str] | None:
    """What the stack that is running in `path` set in the environment (MESH_…), or None."""
    lock, file = path / "lock", path / "environment.json"
    with contextlib.suppress(OSError):
        descriptor = os.open(lock, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            environment: dict[str, str] = json.loads(read_private(file))
            return environment
        finally:
            os.close(descriptor)
    return None


def _check_ours(path: Path) -> None:
    """Refuse a directory of someone else, one that others may enter, and one that holds other things."""
    if not path.is_dir():
        raise DataDirectoryError(f"{path} is not a directory. Set MESH_DATA_DIR to another place.")
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise DataDirectoryError(
            f"{path} belongs to uid {status.st_uid}, not to us. Set MESH_DATA_DIR to another place."
        )
    if not any(path.iterdir()):
        return  # empty and ours
    if not (path / "lock").exists():
        raise DataDirectoryError(f"{path} holds something else. Set MESH_DATA_DIR to an empty or a new directory.")
    mode = stat.S_IMODE(status.st_mode)
    if mode & FOREIGN:
        raise DataDirectoryError(f"{path} is open to others (mode {mode:o}). Look who was there; then chmod 700.")


def _check_reachable(parent: Path, account: Account) -> None:
    """The system user must be able to enter every parent; we do not open other people's directories for it."""
    for folder in (parent, *parent.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            raise DataDirectoryError(
                f"The system user {account.name}, which runs the services, cannot pass through {folder}. "
                "Set MESH_DATA_DIR to a place outside of it, such as /var/lib/meshwork."
            )
