"""The nodes' broker: what an account can do, what it cannot, and what survives."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from apps.pool import broker
from tests.apps.pool import node_worker
from workers.protocol.clock import utcnow
from workers.protocol.ids import new_id

LANE = "inference.cpu"
OUTSIDE = {name: value for name, value in os.environ.items() if not name.startswith(("MESH_", "DJANGO_"))}
NodeStart = Callable[[broker.Account, Path], "subprocess.Popen[bytes]"]


def until(done: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait for something that happens elsewhere."""
    end = time.monotonic() + seconds
    while not (value := done()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return value


def opened() -> tuple[str, broker.Account]:
    """A new node's id and its account."""
    node = new_id("node", utcnow())
    account = broker.account(node, broker.new_secret())
    broker.open_account(node, broker.digest_of(account.password))
    return node, account


def login(account: broker.Account) -> Redis:
    return Redis.from_url(account.url, username=account.username, password=account.password, decode_responses=True)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def worker() -> Iterator[NodeStart]:
    """Starts Celery workers with a node's settings."""
    started: list[subprocess.Popen[bytes]] = []

    def start(account: broker.Account, seen: Path) -> "subprocess.Popen[bytes]":
        command = [sys.executable, str(node_worker.__file__), json.dumps(account.as_dict()), LANE, str(seen)]
        with seen.with_suffix(".log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=seen.parent, env=OUTSIDE)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_an_account_has_exactly_the_rule(nodes_broker: Redis) -> None:
    node, account = opened()
    user = nodes_broker.acl_getuser(account.username)
    assert set(user["flags"]) >= {"on"}
    assert "nopass" not in user["flags"]
    assert user["keys"] == [f"~n{node.removeprefix('node_')}:*"]
    assert user["channels"] == []
    allowed = {"+auth", "+hello", "+ping", "+select", "+client|setname", "+client|setinfo", "+brpop"}
    assert set(user["commands"]) == allowed
    assert set(user["categories"]) == {"-@all"}


COMMANDS = """
GET {other} | SET {other} x | LPUSH {other} x | RPOP {other} | LLEN {other} | LRANGE {other} 0 -1 | BLPOP {other} 1
LMOVE {other} {own} LEFT LEFT | RPOPLPUSH {other} {own} | BRPOP {other} 1 | BRPOP {own} {other} 1 | LMPOP 1 {other} LEFT
BRPOPLPUSH {other} {own} 1 | BLMPOP 1 1 {other} LEFT | RENAME {other} {own} | COPY {other} {own} | DEL {other}
UNLINK {other} | DUMP {other} | EXISTS {other} | TYPE {other} | TOUCH {other} | OBJECT ENCODING {other} | MOVE {other} 1
EXPIRE {other} 1 | HSET {other} a b | SADD {other} a | ZADD {other} 1 a | XADD {other} * a b | PFADD {other} a
SETBIT {other} 1 1 | GEOADD {other} 1 1 a | SORT {own} BY {other} | SORT_RO {other} | MIGRATE 127.0.0.1 1 {other} 0 10
KEYS * | SCAN 0 | RANDOMKEY | DBSIZE | FLUSHALL | FLUSHDB | SWAPDB 0 1 | CONFIG GET * | CONFIG SET maxmemory 1
CONFIG REWRITE | ACL LIST | ACL WHOAMI | ACL SETUSER default on nopass | ACL SAVE | ACL LOG | CLIENT LIST | CLIENT ID
CLIENT KILL TYPE normal | CLIENT PAUSE 1000 | CLIENT TRACKING on | DEBUG SLEEP 1 | MONITOR | INFO | SHUTDOWN NOSAVE
SAVE | BGSAVE | BGREWRITEAOF | LASTSAVE | SLOWLOG GET | LATENCY LATEST | MEMORY STATS | COMMAND | TIME | ROLE
REPLICAOF NO ONE | REPLICAOF 127.0.0.1 1 | FAILOVER | SYNC | PSYNC ? -1 | CLUSTER INFO | MODULE LIST | LOLWUT | WAIT 0 1
EVAL return(redis.call('get',KEYS[1])) 1 {other} | EVAL return(1) 0 | SCRIPT FLUSH | SCRIPT LOAD return(1)
EVALSHA ffffffffffffffffffffffffffffffffffffffff 0 | FUNCTION LIST | FUNCTION FLUSH | FCALL f 0 | PUBLISH {other} x
SUBSCRIBE {other} | PSUBSCRIBE * | SSUBSCRIBE {other} | PUBSUB CHANNELS | MULTI | EXEC | WATCH {other}
GET {own} | SET {own} x | LPUSH {own} x | LRANGE {own} 0 -1 | DEL {own}
"""


def try_everything(redis: Redis, own: str, other: str, refusal: type[RedisError]) -> int:
    """Try each command on a neighbour's keys, the server and one's own keys; all must be refused. Returns how many."""
    words = [word for line in COMMANDS.strip().splitlines() for word in line.split(" | ")]
    for word in words:
        with pytest.raises((refusal, ResponseError), match=r"(?i)permissions|authenticat|not allowed"):
            pytest.fail(f"{word} was allowed: {redis.execute_command(*word.format(own=own, other=other).split())}")
    return len(words)


def test_an_account_reaches_nothing_but_its_own_queue(nodes_broker: Redis) -> None:
    a, account = opened()
    b, _ = opened()
    own, other = broker.queue(a, LANE), broker.queue(b, LANE)
    nodes_broker.lpush(other, "of b")
    nodes_broker.set("platform", "secret")
    with login(account) as redis:
        for target in (other, "platform"):
            assert try_everything(redis, own, target, NoPermissionError) > 90
        assert redis.ping()
        assert redis.brpop([own], timeout=0.1) is None
    assert nodes_broker.lrange(other, 0, -1) == [b"of b"]
    assert nodes_broker.get("platform") == b"secret"
    assert sorted(nodes_broker.keys("*")) == sorted([other.encode(), b"platform"])


def test_another_database_number_does_not_help(nodes_broker: Redis) -> None:
    _, account = opened()
    b, _ = opened()
    with login(account) as redis:
        redis.execute_command("SELECT", 1)
        with pytest.raises(NoPermissionError):
            redis.brpop([broker.queue(b, LANE)], timeout=0.1)


def test_without_an_account_nothing_is_possible(nodes_broker: Redis) -> None:
    node, _ = opened()
    other = broker.queue(node, LANE)
    nodes_broker.lpush(other, "of b")
    with Redis.from_url(broker.public_url()) as stranger:
        assert try_everything(stranger, "mine", other, AuthenticationError) > 90
        with pytest.raises(AuthenticationError):
            stranger.ping()
    assert nodes_broker.lrange(other, 0, -1) == [b"of b"]


def test_the_platforms_own_redis_knows_no_node(nodes_broker: Redis, platform_redis: Redis) -> None:
    _, account = opened()
    address = urlsplit(os.environ["MESH_REDIS_URL"])
    for login_as in ({"username": account.username, "password": account.password}, {}):
        host, port = str(address.hostname), int(address.port or 0)
        with Redis(host=host, port=port, **login_as) as redis, pytest.raises(AuthenticationError):
            redis.get("anything")


def test_one_nodes_password_does_not_open_anothers_account(nodes_broker: Redis) -> None:
    _, a = opened()
    _, b = opened()
    for name in (b.username, "default"):
        with Redis.from_url(a.url, username=name, password=a.password) as redis, pytest.raises(AuthenticationError):
            redis.ping()


def test_a_celery_worker_takes_published_work_and_never_meets_the_limits_of_its_account(
    nodes_broker: Redis, worker: NodeStart, tmp_path: Path
) -> None:
    node, account = opened()
    nodes_broker.acl_log_reset()
    broker.publish(node, LANE, {"n": 0})
    seen = tmp_path / "a.jsonl"
    worker(account, seen)
    until(lambda: len(lines(seen)) == 1)
    for n in range(1, 6):
        broker.publish(node, LANE, {"n": n})
    until(lambda: len(lines(seen)) == 6)
    assert [line["n"] for line in lines(seen)] == list(range(6))
    assert nodes_broker.acl_log() == []
    assert nodes_broker.keys("*") == []


def test_a_neighbours_worker_gets_none_of_it(nodes_broker: Redis, worker: NodeStart, tmp_path: Path) -> None:
    a, account_a = opened()
    b, account_b = opened()
    seen_a, seen_b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    worker(account_a, seen_a)
    worker(account_b, seen_b)
    for n in range(5):
        broker.publish(a, LANE, {"for": "a", "n": n})
    broker.publish(b, LANE, {"for": "b"})
    until(lambda: len(lines(seen_a)) == 5 and len(lines(seen_b)) == 1)
    assert {line["for"] for line in lines(seen_a)} == {"a"}
    assert {line["for"] for line in lines(seen_b)} == {"b"}


def test_revoking_ends_a_worker_in_mid_flight_and_leaves_its_neighbour_alone(
    nodes_broker: Redis, worker: NodeStart, tmp_path: Path
) -> None:
    a, account_a = opened()
    b, account_b = opened()
    seen_a, seen_b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    worker(account_a, seen_a)
    worker(account_b, seen_b)
    broker.publish(a, LANE, {"n": 1, "sleep": 1.5})
    until(lambda: lines(seen_a))
    broker.publish(a, LANE, {"n": 2})
    broker.revoke(a)
    broker.publish(b, LANE, {"n": 3})
    until(lambda: lines(seen_b))
    time.sleep(2.5)
    assert [line["n"] for line in lines(seen_a)] == [1]
    assert nodes_broker.keys("*") == []
    connected = {c["user"] for c in nodes_broker.client_list()}
    assert account_a.username not in connected
    with login(account_a) as redis, pytest.raises(AuthenticationError):
        redis.ping()


def test_a_revoked_account_stays_revoked_when_lost_ones_are_restored(nodes_broker: Redis) -> None:
    node, account = opened()
    broker.revoke(node)
    assert broker.restore_accounts([(node, broker.digest_of(account.password))]) == []
    with login(account) as redis, pytest.raises(AuthenticationError):
        redis.ping()


def test_accounts_are_made_again_from_the_stored_hash(nodes_broker: Redis) -> None:
    node, account = opened()
    other, second = opened()
    before = nodes_broker.acl_getuser(account.username)
    nodes_broker.acl_deluser(account.username)
    with login(account) as redis, pytest.raises(AuthenticationError):
        redis.ping()
    assert broker.restore_accounts(
        [(node, broker.digest_of(account.password)), (other, broker.digest_of(second.password))]
    ) == [node]
    assert nodes_broker.acl_getuser(account.username) == before
    with login(account) as redis:
        assert redis.ping()


def test_accounts_queues_and_workers_survive_a_kill_of_the_broker(
    nodes_broker: Redis, worker: NodeStart, tmp_path: Path
) -> None:
    node, account = opened()
    seen = tmp_path / "a.jsonl"
    worker(account, seen)
    broker.publish(node, LANE, {"n": 1})
    until(lambda: lines(seen))
    other, _ = opened()
    broker.publish(other, LANE, {"n": 9})
    time.sleep(1.2)  # the append-only file is written once a second
    old = int(nodes_broker.info("server")["process_id"])
    os.kill(old, signal.SIGKILL)

    def is_back() -> bool:
        with suppress(RedisError):
            return int(nodes_broker.info("server")["process_id"]) != old
        return False

    until(is_back)
    assert len(broker.waiting(other, LANE)) == 1
    broker.publish(node, LANE, {"n": 2})
    until(lambda: len(lines(seen)) == 2)
    assert nodes_broker.acl_log() == []


def test_purging_deletes_what_was_not_fetched(nodes_broker: Redis) -> None:
    node, _ = opened()
    other, _ = opened()
    broker.publish(node, LANE, {"n": 1})
    broker.publish(node, "scan", {"n": 2})
    broker.publish(other, LANE, {"n": 3})
    broker.purge(node)
    assert broker.waiting(node, LANE) == []
    assert [e["n"] for e in broker.waiting(other, LANE)] == [3]
    assert nodes_broker.keys("*") == [broker.queue(other, LANE).encode()]


def test_the_oldest_message_is_fetched_first(nodes_broker: Redis) -> None:
    node, _ = opened()
    broker.publish_all([(node, LANE, {"n": n}) for n in range(3)])
    assert [e["n"] for e in broker.waiting(node, LANE)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:6380", "redis://127.0.0.1:6380/0"),
        ("localhost:6380", "redis://localhost:6380/0"),
        ("broker.example.org:6380", "rediss://broker.example.org:6380/0"),
        ("rediss://10.0.0.5:6380", "rediss://10.0.0.5:6380/0"),
    ],
)
def test_plain_text_accounts_are_only_on_loopback(address: str, url: str, settings: Any) -> None:
    settings.NODES_REDIS_PUBLIC = address
    assert broker.public_url() == url
