"""Every session has its own PostgreSQL and Valkeys, in a directory of its own, gone when it ends.

They start when this file is imported: that is before any other conftest or test could load Django's settings. Under
xdist the controller owns the PostgreSQL (pytest-django gives each worker a database) and each worker its own Valkeys.
MESH_TEST_DATABASE_URL replaces the PostgreSQL; its role must be allowed to create databases.
"""

import atexit
import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import settings
from redis import Redis

from meshwork.local.directory import DataDirectory
from meshwork.local.services import start_services
from meshwork.local.supervisor import Supervisor

# How long an example takes says more of the machine than of the code; the long suite has tests of its own with more.
settings.register_profile("house", deadline=None, max_examples=60)
settings.load_profile("house")
PREFIX = "meshwork-test-"
IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
RECURSION_LIMIT = sys.getrecursionlimit()


def sweep() -> None:
    """Remove what sessions that were killed left behind: directories of ours, a minute old, whose lock nobody holds."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/lock"):
        status = left.stat()
        if status.st_uid == os.geteuid() and status.st_mtime < time.time() - 60:
            with left.open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                shutil.rmtree(left.parent, ignore_errors=True)


def boot() -> None:
    """Start the services, set the environment, and load Django."""
    directory = DataDirectory(Path(tempfile.mkdtemp(prefix=PREFIX)))
    supervisor = Supervisor()

    def end() -> None:
        supervisor.stop()
        shutil.rmtree(directory.path, ignore_errors=True)
        directory.close()

    atexit.register(end)
    database = os.environ.get("MESH_DATABASE_URL" if IS_WORKER else "MESH_TEST_DATABASE_URL", "")
    urls = start_services(directory, supervisor, external={"MESH_DATABASE_URL": database}, disposable=True)
    os.environ.update(
        urls,
        DJANGO_SETTINGS_MODULE="meshwork.settings",
        MESH_DATA_DIR=str(directory.path),
        MESH_ENV="test",
        MESH_SECRET_KEY=directory.secret("django"),
        MESH_NODES_REDIS_PUBLIC=urlsplit(urls["MESH_NODES_REDIS_URL"]).netloc.rpartition("@")[2],
    )
    import django
    from django.test import TransactionTestCase

    from tests.emptying import empty

    django.setup()
    TransactionTestCase._fixture_teardown = empty


if not IS_WORKER:
    sweep()
boot()


def pytest_collection_finish() -> None:
    """Tests import what raises the limit that refuses deeply nested JSON; see apps.operators.ethereum.library."""
    sys.setrecursionlimit(RECURSION_LIMIT)


def pytest_configure(config: pytest.Config) -> None:
    """Workers inherit the controller's environment; without this one they would load its settings, not their own."""
    if not IS_WORKER and config.getoption("dist", "no") != "no":
        os.environ.pop("DJANGO_SETTINGS_MODULE", None)


def emptied(variable: str) -> Iterator[Redis]:
    """The administrator's client of a Valkey that holds nothing, and no account but the administrator's afterwards."""
    with Redis.from_url(os.environ[variable]) as client:
        client.flushall()
        yield client
        client.flushall()
        for user in client.acl_users():
            if user != "default":
                client.acl_deluser(user)


@pytest.fixture
def platform_redis() -> Iterator[Redis]:
    """The platform's Valkey, empty."""
    yield from emptied("MESH_REDIS_URL")


@pytest.fixture
def nodes_broker() -> Iterator[Redis]:
    """The nodes' Valkey, empty, as its administrator."""
    yield from emptied("MESH_NODES_REDIS_URL")
