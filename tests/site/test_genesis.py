"""The genesis command: keys and block 0, once, with the catalogue of the moment."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings

from apps.core import platform_keys
from apps.ledger import audit
from apps.ledger.models import Genesis
from apps.models.models import Model, ModelVersion
from meshwork.genesis import document
from workers.protocol.genesis import digest, fault

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def home(settings: Settings, tmp_path: Path, db: None) -> Iterator[None]:
    settings.DATA_DIR = tmp_path
    platform_keys.forget_cached()
    yield
    platform_keys.forget_cached()


@pytest.fixture
def model() -> ModelVersion:
    made = Model.objects.create(
        id="mdl_1",
        name="tiny",
        title="Tiny",
        family="tiny",
        task="embed",
        parameters=1,
        licence="MIT",
        created_at=START,
    )
    files = [{"name": f"part-{i}.onnx", "sha256": digit * 64, "size": 1} for i, digit in enumerate("ab")]
    return ModelVersion.objects.create(
        id="mdv_1", model=made, version="1", manifest={"files": files}, min_memory_mb=1, active=True, created_at=START
    )


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("genesis", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_writes_block_0_and_a_second_run_changes_nothing() -> None:
    assert "Genesis written." in run("--timestamp", "2026-01-01T00:00:00Z")
    kept = Genesis.objects.get()
    assert "Genesis written." not in run("--timestamp", "2027-01-01T00:00:00Z")
    assert Genesis.objects.get().hash == kept.hash
    assert audit.run(START).ok


def test_the_document_names_the_models_and_shards_that_were_published(model: ModelVersion) -> None:
    shown = json.loads("{" + run("--timestamp", "2026-01-01T00:00:00Z", "--show").partition("{")[2])
    assert shown["models"] == [{"name": "tiny", "version": "1", "task": "embed", "licence": "MIT"}]
    assert [(shard["name"], shard["sha256"]) for shard in shown["shards"]] == [
        ("part-0.onnx", "a" * 64),
        ("part-1.onnx", "b" * 64),
    ]
    assert fault(shown) == ""
    assert Genesis.objects.get().hash == digest(shown) == digest(document(START))


def test_a_mainnet_starts_without_a_faucet(settings: Settings) -> None:
    settings.NETWORK, settings.IS_TESTNET = "meshwork-mainnet", False
    run("--timestamp", "2026-01-01T00:00:00Z")
    kept = Genesis.objects.get().document
    assert (kept["network"], kept["chain"]["faucet"]["amount"]) == ("meshwork-mainnet", "0")
    assert kept["treasury"] == {"address": "treasury:system", "amount": "2100000"}
    assert kept["config"] == {"quorum": "0.51", "timelockMs": 172_800_000, "feeFloor": "0.01"}
    assert audit.run(START).ok
