"""The page of filed evidence shows both signed messages, and its file is checked with no network."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client

from apps.core import parameters
from apps.core.models import FaultEvidence, FaultStatus
from apps.trading import waiting
from apps.trading.models import Round
from tests.site import trading_cast as cast
from tests.site.trading_cast import WALL

pytestmark = pytest.mark.django_db
OUTSIDE = {name: value for name, value in os.environ.items() if not name.startswith(("MESH_", "DJANGO_"))}


@pytest.fixture(autouse=True)
def fresh_parameters() -> None:
    parameters.forget_cached()


@pytest.fixture
def case() -> FaultEvidence:
    return cast.signed_twice(cast.certified(cast.signal()), "emil")


def verified(path: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "workers.client.cli", "verify", str(path), "--json"]
    outside = {**OUTSIDE, "MESH_URL": "http://localhost:1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=outside)


def test_a_round_leads_to_its_evidence_and_that_shows_both_messages(client: Client, case: FaultEvidence) -> None:
    round_id = case.evidence["round"]
    assert f"/trading/evidence/{case.digest}" in client.get(f"/trading/rounds/{round_id}").content.decode()
    page = client.get(f"/trading/evidence/{case.digest}").content.decode()
    for words in ("Pending", "op_emil", "node_emil", "00" * 32, "ef" * 32, case.digest, "Download", "mesh verify"):
        assert words in page
    assert page.count(cast.KEYS["emil"].kid) >= 3
    assert page.count(case.evidence["second"]["signatures"][0]["sig"]) == 1


def test_what_became_of_it_is_said(client: Client, case: FaultEvidence) -> None:
    case.decide(FaultStatus.REFUSED, WALL, "evidence_expired", "It was filed too late.")
    page = client.get(f"/trading/evidence/{case.digest}").content.decode()
    for words in ("Refused", "evidence_expired", "It was filed too late."):
        assert words in page
    assert not case.decide(FaultStatus.SLASHED, WALL)
    assert client.get(f"/trading/evidence/{'0' * 64}").status_code == 404


def test_its_file_is_checked_by_anybody_and_a_changed_one_fails(
    client: Client, case: FaultEvidence, tmp_path: Path
) -> None:
    answer = client.get(f"/trading/evidence/{case.digest}/evidence.json")
    name = f"{case.digest[:16]}.evidence.json"
    assert answer["Content-Disposition"] == f'attachment; filename="{name}"'
    path = tmp_path / name
    path.write_bytes(answer.content)
    done = verified(path)
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True), done.stderr
    changed = answer.json()
    changed["evidence"]["second"] = changed["evidence"]["first"]
    path.write_text(json.dumps(changed))
    assert verified(path).returncode == 1


def test_evidence_that_is_none_of_a_round_has_a_page_and_no_file(client: Client, case: FaultEvidence) -> None:
    FaultEvidence.objects.filter(pk=case.pk).update(evidence={"first": [1], "second": None}, kind="other")
    page = client.get(f"/trading/evidence/{case.digest}").content.decode()
    assert "Download" not in page
    assert client.get(f"/trading/evidence/{case.digest}/evidence.json").status_code == 404
    Round.objects.update(members=[])
    assert client.get(f"/trading/evidence/{case.digest}").status_code == 200


def test_evidence_that_nobody_could_judge_waits_in_the_inbox(case: FaultEvidence) -> None:
    assert waiting.unjudged(case.at + timedelta(minutes=4)).count == 0
    section = waiting.unjudged(case.at + waiting.LATE)
    assert (section.count, len(section.items)) == (1, 1)
    case.decide(FaultStatus.SLASHED, WALL)
    assert waiting.unjudged(case.at + waiting.LATE).count == 0
