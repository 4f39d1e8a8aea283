"""The report of `mesh node probe --json` in an application: read, refused at the edge, kept, shown."""

import json
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.core.models import User
from apps.operators import applications, hardware
from apps.operators.errors import ProbeRefused, ReasonMissing
from apps.operators.models import Application
from tests.apps.operators.conftest import DATA
from tests.apps.operators.test_applications import FORM
from workers.protocol.clock import utcnow

REPORT: dict[str, Any] = {
    "gpu_type": "cuda",
    "gpu_name": "NVIDIA H200",
    "gpu_memory_mb": 143_771,
    "cpu_name": "EPYC",
    "cpu_cores": 16,
    "memory_mb": 131_072,
    "memory_gb": 128,
    "disk_free_mb": 65_000,
    "frameworks": ["numpy", "onnxruntime"],
    "cuda_available": True,
    "system": "Linux",
    "machine": "x86_64",
    "python": "3.11.2",
    "gflops": 950,
}
REST = {"tier": "ORACLE", "region": "eu-west", "bandwidth_mbps": "500", "experience": "", "agree": "on"}


@pytest.fixture
def anna(client: Client, applicant: User) -> Client:
    client.force_login(applicant)
    return client


def test_what_the_command_line_prints_is_a_report() -> None:
    command = [sys.executable, "-m", "workers.client.cli", "node", "probe", "--json"]
    printed = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    report = hardware.read(printed)
    assert report["cpu_cores"] >= 1
    assert dict(hardware.facts(report))["Memory"] == f"{report['memory_mb']} MiB"


def test_a_pasted_report_fills_the_form_in_and_is_shown(anna: Client) -> None:
    answer = anna.post("/apply", {"read": "1", "probe": json.dumps(REPORT), "bandwidth_mbps": "500"})
    assert answer["Location"] == "/apply#application"
    page = anna.get("/apply").content.decode()
    assert "What was read" in page
    assert "NVIDIA H200, 143771 MiB" in page
    assert 'name="cpu_cores" value="16"' in page
    assert 'name="bandwidth_mbps" value="500"' in page
    assert Application.objects.get().status == "draft"


def test_a_report_as_a_file_is_handed_in_at_once(anna: Client) -> None:
    upload = SimpleUploadedFile("probe.json", json.dumps(REPORT).encode(), "application/json")
    assert anna.post("/apply", {**REST, "probe_file": upload}).status_code == 302
    application = Application.objects.get()
    assert (application.status, application.hardware["gpu_model"]) == ("submitted", "NVIDIA H200")
    assert (application.hardware["gpu_memory_gb"], application.probe["gflops"]) == (140, 950)


def test_what_is_typed_after_a_report_stands_and_reviewers_see_the_difference(
    anna: Client, applicant: User, admin: User
) -> None:
    anna.post("/apply", {"read": "1", "probe": json.dumps(REPORT)})
    typed = {**FORM, "gpu_type": "cuda", "gpu_model": "NVIDIA H200", "gpu_memory_gb": "140", "cpu_cores": "64"}
    anna.post("/apply", typed)
    application = Application.objects.get()
    assert application.hardware["cpu_cores"] == 64
    assert "cpu cores: 64 / 16" in hardware.differences(application.hardware, application.probe)
    desk = Client()
    desk.force_login(admin)
    shown = desk.get(f"/admin/operators/application/{application.pk}/change/").content.decode()
    assert "cpu cores: 64 / 16" in shown
    assert "950 GFLOPS" in shown


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("no json", "That is no report"),
        ("[]", "Expected `object`, got `array`"),
        ('{"cpu_cores": 4}', "missing required field `gpu_type`"),
        (json.dumps({**REPORT, "cpu_cores": "many"}), "Expected `int`, got `str` (cpu_cores)"),
        (json.dumps({**REPORT, "cpu_cores": 0}), "Expected `int` >= 1 (cpu_cores)"),
        (json.dumps({**REPORT, "gpu_type": "quantum"}), "Invalid enum value"),
        (json.dumps({**REPORT, "cpu_name": "a\x00b"}), "cpu_name holds a NUL"),
        pytest.param(json.dumps({**REPORT, "cpu_name": "x" * 70_000}), "longer than any report", id="long"),
        pytest.param("[" * 5000, "Expected `object`", id="deep"),
        ("1e999", "The report does not fit"),
    ],
)
def test_a_wrong_report_is_refused_at_its_field_and_saves_nothing(anna: Client, sent: str, words: str) -> None:
    for button in ("read", "draft", "submit"):
        answer = anna.post("/apply", {**FORM, "probe": sent, button: "1"})
        assert answer.status_code == 200
        assert words in answer.context["form"].errors["probe"][0]
    assert not Application.objects.exists()


def test_reading_nothing_says_so(anna: Client) -> None:
    assert b"Paste the report, or choose it as a file." in anna.post("/apply", {"read": "1"}).content
    empty = anna.post("/apply", {"read": "1", "probe_file": SimpleUploadedFile("p.json", b" ")})
    assert "That is no report" in empty.context["form"].errors["probe"][0]


def test_a_report_leaves_out_what_it_does_not_know() -> None:
    assert "serial" not in hardware.read(json.dumps({**REPORT, "serial": "x"}))
    with pytest.raises(ProbeRefused) as refused:
        hardware.read(b"\xff\xfe")
    assert refused.value.code == "probe_refused"


def test_the_api_takes_a_report_and_names_what_is_wrong_in_it(anna: Client) -> None:
    body = {**DATA, "agree": True, "probe": {**REPORT, "memory_mb": -1}}
    refused = anna.post("/api/v1/application", body, content_type="application/json").json()
    assert (refused["errors"][0]["pointer"], refused["errors"][0]["code"]) == ("/probe", "probe_refused")
    body["probe"] = REPORT
    made = anna.post("/api/v1/application", body, content_type="application/json").json()
    assert made["probe"]["gflops"] == 950


def test_the_page_says_when_where_and_how_long_once_that_is_known(client: Client, admin: User, applicant: User) -> None:
    now = utcnow()
    others = [User.objects.create_user(f"p{n}@example.org") for n in range(4)]
    first = applications.submit(others[0], DATA, now - timedelta(hours=9))
    applications.submit(applicant, DATA, now - timedelta(hours=8))
    client.force_login(applicant)
    page = client.get("/apply").content.decode()
    assert "not known yet" in page
    assert "<dd>2</dd>" in page
    applications.approve(first, admin, now - timedelta(hours=8))
    for person, hours in ((others[1], 2), (others[2], 4)):
        application = applications.submit(person, DATA, now - timedelta(hours=hours))
        applications.reject(application, admin, "Small.", now, criterion="hardware")
    assert applications.median_review(now) == timedelta(hours=2)
    page = client.get("/apply").content.decode()
    assert "2\xa0hours" in page
    assert "<dd>1</dd>" in page
    assert applications.median_review(now + timedelta(days=100)) is None


def test_a_resubmitted_application_waits_and_counts_as_no_review(applicant: User, admin: User) -> None:
    now = utcnow()
    application = applications.submit(applicant, DATA, now - timedelta(hours=2))
    applications.reject(application, admin, "Small.", now - timedelta(hours=1), criterion="hardware")
    assert applications.median_review(now) == timedelta(hours=1)
    applications.submit(applicant, DATA, now)
    assert applications.median_review(now) is None


def test_a_rejection_names_a_criterion_of_the_list(client: Client, applicant: User, admin: User) -> None:
    application = applications.submit(applicant, DATA, utcnow())
    with pytest.raises(ReasonMissing):
        applications.reject(application, admin, "No.", utcnow(), criterion="face")
    application.refresh_from_db()
    assert application.status == "submitted"
    applications.reject(application, admin, "No GPU.", utcnow(), criterion="hardware")
    client.force_login(applicant)
    assert "hardware of the tier" in client.get("/apply").content.decode()
    assert "hardware of the tier" in applicant.notifications.get(kind="application_rejected").body
    again = applications.submit(applicant, DATA, utcnow())
    assert (again.criterion, again.reason) == ("", "")
