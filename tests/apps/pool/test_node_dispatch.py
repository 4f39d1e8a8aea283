"""Handing out work: never more than fits, to nodes that can fetch it, and nothing is lost whatever dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from redis import Redis
from redis.exceptions import RedisError

from apps.core.models import User
from apps.ledger import accounts
from apps.operators.models import Node, NodeStatus
from apps.pool import broker, dispatch, submission
from apps.pool.models import Attempt, Job, Result, Task, TaskStatus
from tests.apps.pool import cast
from workers.protocol.clock import utcnow
from workers.protocol.envelope import unverified_payload

MANY = tuple(f"text {n}" for n in range(24))


@pytest.fixture(autouse=True)
def services(platform_redis: Redis, nodes_broker: Redis) -> None:
    """Both empty."""


def waiting(machine: cast.Machine) -> int:
    return len(broker.waiting(machine.node.pk, cast.LANE))


def submit(rita: User, *texts: str) -> Job:
    return submission.submit(rita, cast.embed(*texts, chunk_size=1), utcnow())


@pytest.mark.django_db
def test_never_more_is_published_than_a_node_has_free_slots(ada: cast.Machine, bert: cast.Machine, rita: User) -> None:
    submit(rita, *MANY)
    post = dispatch.Post()
    assert post.hand_out(utcnow()) == 4
    assert post.hand_out(utcnow()) == 0
    assert (waiting(ada), waiting(bert)) == (2, 2)
    task = Task.objects.filter(node=ada.node)[0]
    ada.start(dispatch.assignment_of(task), utcnow())
    ada.answer(dispatch.assignment_of(task), utcnow())
    assert post.hand_out(utcnow()) == 1


@pytest.mark.django_db
def test_work_spreads_over_nodes_before_it_fills_one(ada: cast.Machine, bert: cast.Machine, rita: User) -> None:
    submit(rita, "a", "b")
    dispatch.Post().hand_out(utcnow())
    assert (waiting(ada), waiting(bert)) == (1, 1)


@pytest.mark.django_db
def test_only_online_nodes_on_the_broker_are_handed_work(ada: cast.Machine, bert: cast.Machine, rita: User) -> None:
    submit(rita, *MANY)
    ada.node.move(NodeStatus.DRAINING, "It drains.", "Resume it.", utcnow())
    Node.objects.filter(pk=bert.node.pk).update(transport=Node.Transport.HTTP)
    assert dispatch.Post().hand_out(utcnow()) == 0
    assert not Task.objects.held().exists()


@pytest.mark.django_db
def test_nothing_is_claimed_while_the_broker_is_away(ada: cast.Machine, rita: User, settings: Any) -> None:
    submit(rita, "a")
    settings.NODES_REDIS_URL = "redis://127.0.0.1:1/0"
    broker.client.cache_clear()
    try:
        assert dispatch.Post().hand_out(utcnow()) == 0
    finally:
        broker.client.cache_clear()
    assert not Task.objects.held().exists()


@pytest.mark.django_db
def test_the_cost_of_looking_does_not_grow_with_the_queue(
    ada: cast.Machine, rita: User, django_assert_num_queries: Any
) -> None:
    submit(rita, *MANY)
    dispatch.Post().hand_out(utcnow())
    with django_assert_num_queries(1):
        dispatch.Post().hand_out(utcnow())


@pytest.mark.django_db
def test_what_was_claimed_but_never_published_is_published(ada: cast.Machine, rita: User) -> None:
    submit(rita, "a")
    now = utcnow()
    (lost,) = ada.take(now=now)  # and here the dispatcher was killed
    post = dispatch.Post()
    assert post.reconcile(now) == (0, 0), "it may be on its way"
    Task.objects.update(claimed_at=now - dispatch.timedelta(seconds=6))
    assert post.reconcile(now) == (1, 0)
    body = unverified_payload(broker.waiting(ada.node.pk, cast.LANE)[0])["body"]
    assert (body["task"], body["attempt"]) == (lost.task_id, lost.attempt)
    assert post.reconcile(now) == (0, 0), "it waits in the queue"
    broker.purge(ada.node.pk)
    assert post.reconcile(now) == (0, 0), "it may have been fetched this moment"


@pytest.mark.django_db
def test_what_a_node_says_it_runs_is_not_published_again(ada: cast.Machine, rita: User) -> None:
    submit(rita, "a")
    now = utcnow()
    (task,) = ada.take(now=now)
    Task.objects.update(claimed_at=now - dispatch.timedelta(seconds=6))
    Node.objects.update(running=[task.task_id])
    assert dispatch.Post().reconcile(now) == (0, 0)


@pytest.mark.django_db
def test_what_waits_but_was_taken_back_is_dropped(ada: cast.Machine, rita: User) -> None:
    submit(rita, "a", "b")
    post, now = dispatch.Post(), utcnow()
    assert post.hand_out(now) == 2
    gone = Task.objects.filter(node=ada.node).order_by("pk")[0]
    ada.node.refresh_from_db()
    from apps.pool import completion

    completion.hand_back(gone.pk, gone.attempt, ada.node, "no room", now)
    assert post.reconcile(now) == (0, 1)
    assert waiting(ada) == 1


class Crew:
    """Nodes that fetch from their queues with their own accounts, and answer as they should."""

    def __init__(self, machines: list[cast.Machine], pause: float = 0.05) -> None:
        self.stop = threading.Event()
        self.failures: list[str] = []
        self.threads = [threading.Thread(target=self.serve, args=(m, pause), daemon=True) for m in machines]
        for machine in machines:
            secret = broker.new_secret()
            broker.open_account(machine.node.pk, broker.digest_of(secret))
            Node.objects.filter(pk=machine.node.pk).update(broker_sha256=broker.digest_of(secret))
            machine.secret = secret  # type: ignore[attr-defined]
        for thread in self.threads:
            thread.start()

    def serve(self, machine: cast.Machine, pause: float) -> None:
        account = broker.account(machine.node.pk, machine.secret)  # type: ignore[attr-defined]
        redis = Redis.from_url(account.url, username=account.username, password=account.password)
        while not self.stop.is_set():
            try:
                found = redis.brpop([f"{account.prefix}{cast.LANE}"], timeout=0.3)
                if found:
                    self.do(machine, found[1], pause)
            except RedisError:
                time.sleep(0.1)
        connection.close()

    def do(self, machine: cast.Machine, raw: bytes, pause: float) -> None:
        import base64
        import json

        envelope = json.loads(base64.b64decode(json.loads(raw)["body"]))[0][0]
        body = unverified_payload(envelope)["body"]
        row = (
            Task.objects.select_related("job").held_by(machine.node.pk, body["attempt"]).filter(pk=body["task"]).first()
        )
        if row is None:  # it came twice, and was done the first time
            return
        task = dispatch.assignment_of(row)
        if machine.start(task, utcnow()) != "running":
            return
        time.sleep(pause)
        if machine.answer(task, utcnow()) not in {"completed", "duplicate"}:
            self.failures.append(task.task_id)

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(10)


@pytest.fixture
def crew() -> Iterator[Callable[..., Crew]]:
    made: list[Crew] = []

    def muster(*machines: cast.Machine, pause: float = 0.05) -> Crew:
        made.append(Crew(list(machines), pause))
        return made[-1]

    yield muster
    for one in made:
        one.end()


@pytest.fixture
def healthy() -> Iterator[str]:
    """A node API that answers: without one the platform counts as away, and nothing is sent a second time."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def process(tmp_path: Path, transactional_db: None, healthy: str) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Starts dispatchers as processes of their own, on the test's database."""
    started: list[subprocess.Popen[bytes]] = []
    database = connection.settings_dict
    address = f"{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
    environment = {**os.environ, "MESH_DATABASE_URL": f"postgres://{address}/{database['NAME']}"}
    environment["MESH_NODE_API_URL"] = healthy

    def start() -> "subprocess.Popen[bytes]":
        with (tmp_path / "dispatcher.log").open("ab") as log:
            command = [sys.executable, "-m", "meshwork", "run_dispatcher"]
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()


def until(done: Callable[[], Any], seconds: float = 40.0) -> Any:
    end = time.monotonic() + seconds
    while not (value := done()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return value


def is_done(job: Job) -> bool:
    return Job.objects.get(pk=job.pk).status == TaskStatus.COMPLETED


def check_once(job: Job, *machines: cast.Machine) -> None:
    """Every chunk done once, and paid once."""
    tasks = Task.objects.filter(job=job)
    assert set(tasks.values_list("status", flat=True)) == {TaskStatus.COMPLETED}
    assert Result.objects.filter(task__job=job).count() == job.tasks_total
    assert Attempt.objects.filter(task__job=job, status="completed").count() == job.tasks_total
    earned = sum(accounts.balance(m.node.operator.user) for m in machines)
    assert earned == sum(r.fee * 85 // 100 for r in Result.objects.filter(task__job=job))


@pytest.mark.django_db(transaction=True)
def test_a_dispatcher_that_is_killed_again_and_again_loses_nothing(
    process: Any, crew: Any, ada: cast.Machine, bert: cast.Machine, rita: User
) -> None:
    workers = crew(ada, bert, pause=0.4)
    job = submit(rita, *MANY)
    for _ in range(3):
        running = process()
        until(lambda: Task.objects.held().exists())
        time.sleep(1.0)
        running.send_signal(signal.SIGKILL)
        running.wait()
    process()
    until(lambda: is_done(job), 60)
    check_once(job, ada, bert)
    assert workers.failures == []


@pytest.mark.django_db(transaction=True)
def test_only_one_dispatcher_acts_and_the_next_takes_over(
    process: Any, crew: Any, ada: cast.Machine, rita: User, tmp_path: Path
) -> None:
    crew(ada)
    log = tmp_path / "dispatcher.log"
    first = process()
    until(lambda: log.read_text().count("Dispatching") == 1)
    second = process()
    time.sleep(4)
    assert log.read_text().count("Dispatching") == 1
    first.send_signal(signal.SIGKILL)
    first.wait()
    until(lambda: log.read_text().count("Dispatching") == 2)
    job = submit(rita, "a", "b", "c")
    until(lambda: is_done(job))
    second.send_signal(signal.SIGTERM)
    assert second.wait(5) == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("service", ["REDIS_URL", "NODES_REDIS_URL"])
def test_a_dispatcher_survives_the_kill_of_a_redis(
    process: Any, crew: Any, ada: cast.Machine, rita: User, service: str
) -> None:
    crew(ada, pause=0.2)
    running = process()
    job = submit(rita, *MANY[:12])
    until(lambda: Task.objects.filter(status=TaskStatus.COMPLETED).count() >= 2)
    with Redis.from_url(getattr(django_settings, service)) as redis:
        old = redis.info("server")["process_id"]
        os.kill(int(old), signal.SIGKILL)

        def is_back() -> bool:
            with suppress(RedisError):
                return bool(redis.info("server")["process_id"] != old)
            return False

        until(is_back)
    until(lambda: is_done(job), 60)
    check_once(job, ada)
    assert running.poll() is None


@pytest.mark.django_db(transaction=True)
def test_a_dispatcher_survives_losing_its_database_sessions(
    process: Any, crew: Any, ada: cast.Machine, rita: User
) -> None:
    crew(ada, pause=0.2)
    running = process()
    job = submit(rita, *MANY[:8])
    until(lambda: Task.objects.filter(status=TaskStatus.COMPLETED).exists())
    with connection.cursor() as cursor:
        # Those of this database: tests beside this one hold such locks in theirs.
        cursor.execute(
            """
            SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE l.locktype = 'advisory' AND d.datname = current_database()
            """
        )
    until(lambda: is_done(job), 60)
    check_once(job, ada)
    assert running.poll() is None


@pytest.mark.django_db(transaction=True)
def test_a_result_brings_the_next_task_at_once(process: Any, crew: Any, ada: cast.Machine, rita: User) -> None:
    crew(ada, pause=0.0)
    process()
    first = submit(rita, "warm")
    until(lambda: is_done(first))
    start = time.monotonic()
    job = submit(rita, *MANY[:12])
    until(lambda: is_done(job))
    # With a look a second alone, twelve tasks in two slots would take six seconds.
    assert time.monotonic() - start < 5
