"""The embedded services keep their data through kill -9 and let nobody in without an account."""

import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.retry import Retry

from meshwork.local.errors import ExternalServiceError
from meshwork.local.postgres import Postgres
from meshwork.local.stack import Stack, services_up
from tests.site.local.seeing import until

VALKEYS = {"valkey-platform": "MESH_REDIS_URL", "valkey-nodes": "MESH_NODES_REDIS_URL"}
SERVICES = ("postgres", *VALKEYS)


@pytest.fixture(scope="module")
def stack(place: Path) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("MESH_DATABASE_URL", *VALKEYS.values()):
            patch.delenv(variable, raising=False)
        with services_up(place / "data", lambda line: None) as running:
            yield running


def kill(stack: Stack, service: str) -> None:
    """kill -9, then wait until the supervisor has it serving again."""
    pid = stack.supervisor.pid(service)
    assert pid is not None
    starts = stack.supervisor.starts(service)
    os.kill(pid, signal.SIGKILL)
    until(lambda: stack.supervisor.starts(service) > starts)
    stack.supervisor.wait_ready([service])


def valkey(stack: Stack, service: str) -> Redis:
    return Redis.from_url(stack.environment[VALKEYS[service]], decode_responses=True)


def stranger(port: int, password: str | None = None) -> Redis:
    """A client that tries once."""
    return Redis(host="127.0.0.1", port=port, password=password, retry=Retry(NoBackoff(), 0))


def database(stack: Stack) -> psycopg.Connection:
    return psycopg.connect(stack.environment["MESH_DATABASE_URL"], autocommit=True)


def port_of(stack: Stack, variable: str) -> int:
    port = urlsplit(stack.environment[variable]).port
    assert port is not None
    return port


def test_what_postgresql_committed_survives_a_kill(stack: Stack) -> None:
    with database(stack) as connection:
        connection.execute("CREATE TABLE kept (value int)")
        connection.execute("INSERT INTO kept VALUES (42)")
        kill(stack, "postgres")
    with database(stack) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (42,)
        connection.execute("DROP TABLE kept")


@pytest.mark.parametrize("service", VALKEYS)
def test_what_a_valkey_acknowledged_survives_a_kill(stack: Stack, service: str) -> None:
    with valkey(stack, service) as client:
        client.set("kept", "42")
    kill(stack, service)
    with valkey(stack, service) as client:
        assert client.getdel("kept") == "42"


def test_a_node_account_survives_a_kill_of_its_broker(stack: Stack) -> None:
    with valkey(stack, "valkey-nodes") as admin:
        admin.execute_command("ACL", "SETUSER", "node-1", "reset", "on", ">s3cret", "~n1:*", "-@all", "+ping", "+brpop")
        admin.execute_command("ACL", "SAVE")
    kill(stack, "valkey-nodes")
    port = port_of(stack, "MESH_NODES_REDIS_URL")
    with Redis(host="127.0.0.1", port=port, username="node-1", password="s3cret") as node:
        assert node.ping()
        with pytest.raises(NoPermissionError):
            node.get("n1:anything")
        with pytest.raises(NoPermissionError):
            node.brpop(["n2:queue"], timeout=1)
    with valkey(stack, "valkey-nodes") as admin:
        admin.acl_deluser("node-1")
        admin.execute_command("ACL", "SAVE")


def test_a_lost_aclfile_still_leaves_the_administrator(stack: Stack) -> None:
    (stack.directory.path / "valkey-nodes" / "users.acl").unlink()
    kill(stack, "valkey-nodes")
    with valkey(stack, "valkey-nodes") as admin:
        assert admin.acl_users() == ["default"]


def test_a_stale_pid_that_is_now_another_programs_does_not_stop_postgresql(place: Path) -> None:
    cluster = Postgres(home=place / "stale", programs=place, port=1, admin_password="", password="")
    cluster.data.mkdir(parents=True)
    pid_file = cluster.data / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{cluster.data}\n")
    cluster.clear_stale_pid()
    assert not pid_file.exists()


def test_the_pid_file_of_a_running_postgresql_is_left_alone(stack: Stack, place: Path) -> None:
    cluster = Postgres(home=stack.directory.path / "postgres", programs=place, port=1, admin_password="", password="")
    cluster.clear_stale_pid()
    assert (cluster.data / "postmaster.pid").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "socket"])
@pytest.mark.parametrize("user", ["postgres", "meshwork", "root"])
@pytest.mark.parametrize("password", ["", "guess"])
def test_no_account_reaches_postgresql(stack: Stack, host: str, user: str, password: str) -> None:
    if host == "socket":
        host = str(stack.directory.path / "postgres" / "socket")
    with pytest.raises(psycopg.OperationalError, match=r"no password supplied|password authentication failed"):
        psycopg.connect(
            host=host,
            port=port_of(stack, "MESH_DATABASE_URL"),
            user=user,
            password=password,
            dbname="postgres",
            passfile="/dev/null",
        )


def test_the_platforms_role_is_no_superuser(stack: Stack) -> None:
    with database(stack) as connection:
        rights = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert rights == (False, False, False)


@pytest.mark.parametrize("service", VALKEYS)
@pytest.mark.parametrize(("user", "password"), [("default", "guess"), ("default", ""), ("admin", "guess")])
def test_no_account_logs_in_to_a_valkey(stack: Stack, service: str, user: str, password: str) -> None:
    port = port_of(stack, VALKEYS[service])
    with stranger(port) as client, pytest.raises(AuthenticationError):
        client.execute_command("AUTH", user, password)


@pytest.mark.parametrize("service", VALKEYS)
@pytest.mark.parametrize("command", ["PING", "GET key", "SET key value", "PUBLISH live x", "ACL LIST", "CONFIG GET *"])
def test_without_logging_in_a_valkey_answers_nothing(stack: Stack, service: str, command: str) -> None:
    port = port_of(stack, VALKEYS[service])
    with stranger(port) as client, pytest.raises(AuthenticationError):
        client.execute_command(*command.split())


def test_an_account_on_the_nodes_broker_opens_nothing_on_the_platforms(stack: Stack) -> None:
    nodes_password = urlsplit(stack.environment["MESH_NODES_REDIS_URL"]).password
    port = port_of(stack, "MESH_REDIS_URL")
    with stranger(port, nodes_password) as client, pytest.raises(AuthenticationError):
        client.ping()


def test_the_nodes_broker_refuses_writes_over_its_memory_and_the_platforms_goes_on(stack: Stack) -> None:
    with valkey(stack, "valkey-nodes") as nodes, valkey(stack, "valkey-platform") as platform:
        assert nodes.config_get("maxmemory")["maxmemory"] == str(256 * 1024 * 1024)
        assert nodes.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        nodes.config_set("maxmemory", "1")
        with pytest.raises(RedisError, match="maxmemory"):
            nodes.set("key", "value")
        assert platform.set("key", "value")
        platform.delete("key")
        nodes.config_set("maxmemory", "256mb")


@pytest.mark.parametrize("service", SERVICES)
def test_services_listen_on_loopback_only(stack: Stack, service: str) -> None:
    server = psutil.Process(stack.supervisor.pid(service))
    assert {connection.laddr.ip for connection in server.net_connections("inet")} == {"127.0.0.1"}


@pytest.mark.parametrize("service", SERVICES)
def test_services_never_run_as_root(stack: Stack, service: str) -> None:
    assert psutil.Process(stack.supervisor.pid(service)).username() != "root"


def test_the_services_files_are_closed_to_others(stack: Stack) -> None:
    for folder in ("postgres", "postgres/socket", "postgres/data", *VALKEYS):
        assert stat.S_IMODE((stack.directory.path / folder).stat().st_mode) == 0o700, folder


def test_no_password_is_on_a_command_line(stack: Stack) -> None:
    secrets = [path.read_text() for path in (stack.directory.path / "secrets").iterdir()]
    for service in SERVICES:
        line = " ".join(psutil.Process(stack.supervisor.pid(service)).cmdline())
        assert not [secret for secret in secrets if secret in line]


def test_node_agents_inherit_nothing_of_the_platform(stack: Stack) -> None:
    assert not [name for name in stack.outside_environment if name.startswith("MESH_")]
    assert stack.outside_environment["PATH"]


def test_a_second_start_finds_everything_again(place: Path) -> None:
    with services_up(place / "again", lambda line: None) as first:
        with valkey(first, "valkey-platform") as client:
            client.set("kept", "1")
        with database(first) as connection:
            connection.execute("CREATE TABLE kept ()")
        before = dict(first.environment)
    with services_up(place / "again", lambda line: None) as second:
        assert dict(second.environment) == before
        with valkey(second, "valkey-platform") as client:
            assert client.get("kept") == "1"
        with database(second) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_services_named_in_the_environment_are_used_and_not_started(
    stack: Stack, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("MESH_DATABASE_URL", *VALKEYS.values()):
        monkeypatch.setenv(variable, stack.environment[variable])
    with services_up(place / "external", lambda line: None) as other:
        assert other.supervisor.names() == []
        assert other.environment["MESH_DATABASE_URL"] == stack.environment["MESH_DATABASE_URL"]
        assert not (other.directory.path / "postgres").exists()


def test_one_server_for_platform_and_nodes_is_refused(
    stack: Stack, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_REDIS_URL", stack.environment["MESH_REDIS_URL"])
    monkeypatch.setenv("MESH_NODES_REDIS_URL", stack.environment["MESH_REDIS_URL"].removesuffix("0") + "1")
    with pytest.raises(ExternalServiceError, match="two servers"), services_up(place / "one", lambda line: None):
        pass


def test_busy_site_ports_are_replaced_and_named(place: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MESH_DATABASE_URL", *VALKEYS.values()):
        monkeypatch.setenv(variable, stack.environment[variable])
    said: list[str] = []
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        monkeypatch.setattr("meshwork.local.processes.PORTS", {"site": port, "node_api": 0})
        with services_up(place / "busy", said.append) as other:
            assert other.urls["site"] == f"http://localhost:{other.ports['site']}"
            assert f"site: port {port} is not free, so it uses {other.ports['site']}" in said
