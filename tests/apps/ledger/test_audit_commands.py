"""`mesh audit` against a running site: the proof of a transfer, and the whole ledger."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from apps.core import platform_keys
from apps.ledger import accounts, audit, blocks
from apps.ledger.models import Account, Block, Genesis
from tests.apps.ledger.cast import NOW, move
from tests.apps.ledger.test_browser import post_now
from tests.site.test_pages_browser import Site
from workers.protocol.ids import show_uuid

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def site(started: Block, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The site, with this test's keys and exports."""
    monkeypatch.setenv("MESH_DATA_DIR", str(settings.DATA_DIR))
    running = Site()
    running.start(connection.settings_dict["NAME"])
    yield running
    running.stop()


def mesh(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"MESH_URL": site.url}
    command = [sys.executable, "-m", "workers.client.cli", "audit", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_transfer_is_proven_and_the_ledger_fetched_and_verified(ada: Account, site: Site, tmp_path: Path) -> None:
    sealed, waiting = (move(accounts.system("treasury"), ada, units) for units in (5, 6))
    post_now(sealed)
    blocks.seal_due(NOW + timedelta(seconds=10))
    post_now(waiting)
    audit.execute(audit.begin(NOW).pk, NOW)

    proof, ledger = tmp_path / "proof.json", tmp_path / "ledger.zip"
    done = mesh(site, "prove", show_uuid("txn", sealed.id), "-o", str(proof))
    assert done.returncode == 0, done.stderr
    assert json.loads(proof.read_text())["leaf"]["txId"] == str(sealed.id)
    assert mesh(site, "verify", str(proof), "--root", platform_keys.root_fingerprint()).returncode == 0
    assert mesh(site, "verify", str(proof), "--root", "0" * 64).returncode == 1

    early = mesh(site, "prove", str(waiting.id))
    assert (early.returncode, "not_sealed" in early.stderr) == (6, True)
    assert mesh(site, "prove", "txn_nothing").returncode == 3

    fetched = mesh(site, "export", str(ledger))
    assert fetched.returncode == 0, fetched.stderr
    checked = mesh(site, "verify", str(ledger), "--genesis", Genesis.objects.get().hash)
    assert checked.returncode == 0, checked.stderr
    assert mesh(site, "verify", str(ledger), "--genesis", "0" * 64).returncode == 1
