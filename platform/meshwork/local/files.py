"""Private files and directories, and the system user that embedded services run as when we are root."""

import contextlib
import os
import pwd
import secrets
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from meshwork.local.errors import AccountError, DataDirectoryError

SYSTEM_USER = "meshwork"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Account:
    """A system user by name and numbers."""

    name: str
    uid: int
    gid: int


def service_account() -> Account | None:
    """The user that services run as: `meshwork` (made if missing) for root, None (ourselves) for anyone else."""
    if os.geteuid() != 0:
        return None
    return _find_account() or _make_account()


def _find_account() -> Account | None:
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _make_account() -> Account:
    useradd = shutil.which("useradd", path=SYSTEM_PATH)
    if useradd is None:
        raise AccountError(f"There is no useradd here. As root, first add a system user named {SYSTEM_USER}.")
    command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    made = subprocess.run(  # noqa: S603
        [*command, "--shell", "/usr/sbin/nologin", SYSTEM_USER], capture_output=True, text=True, check=False
    )
    account = _find_account()  # two first starts may race: whoever came second finds the user all the same
    if account is None:
        raise AccountError(f"The system user {SYSTEM_USER} could not be made: {made.stderr.strip()}")
    return account


def give(path: Path, account: Account | None) -> None:
    """Make `account` the owner of `path`; without one it stays ours."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def private_directory(path: Path, account: Account | None = None) -> Path:
    """A directory (made if missing) that only its owner may enter, mode 0700."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    give(path, account)
    return path


def write_private(path: Path, content: str, account: Account | None = None) -> None:
    """Replace the file in one step; mode 0600 from its first byte on."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    give(fresh, account)
    fresh.replace(path)


def read_private(path: Path) -> str:
    """The file's text; refused where others could read or change it, since a secret that leaked must be replaced."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise DataDirectoryError(
            f"{path} is open to others (mode {mode:o}). If nobody has read it: chmod 600 {path}; else delete it."
        )
    return path.read_text().strip()


def secret(path: Path) -> str:
    """The secret kept at `path`, 256 random bits made on first use."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return read_private(path)


def place(source: Path, target: Path) -> None:
    """A file (program or library) at `target` that every user may read: a hard link where possible, else a copy."""
    mode = stat.S_IMODE(source.stat().st_mode)
    public = 0o755 if mode & stat.S_IXUSR else 0o644
    if mode & public == public:
        with contextlib.suppress(OSError):  # another disk, or a file system without links
            os.link(source, target)
            return
    shutil.copyfile(source, target)
    target.chmod(public)


def place_tree(source: Path, target: Path, names: Callable[[Path], bool] = lambda _: True) -> None:
    """The files under `source` whose paths `names` accepts, placed under `target`; every user may pass the folders."""
    target.mkdir(parents=True)
    target.chmod(0o755)  # whatever the umask says
    for entry in sorted(source.iterdir()):
        if entry.is_dir():
            place_tree(entry, target / entry.name, names)
        elif names(entry):
            place(entry, target / entry.name)
