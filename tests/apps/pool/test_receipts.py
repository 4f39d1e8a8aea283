"""Receipts: issued when the job is closed and its transfers are sealed, and checked with nothing but themselves."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from apps.core import platform_keys
from apps.core.models import Event, User
from apps.ledger import blocks, genesis
from apps.pool import cancel, receipts, submission
from apps.pool.errors import ReceiptPending
from apps.pool.models import Job, Receipt
from tests.apps.pool.cast import NOW, Machine, embed, later
from workers.protocol.envelope import unverified_payload
from workers.protocol.keys import b64
from workers.protocol.receipts import verify_receipt

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def chain(clean: None, db: None, settings: Settings, tmp_path: Path) -> Iterator[None]:
    """A testnet that begins now, with keys of its own and a block every ten seconds."""
    settings.DATA_DIR = tmp_path
    platform_keys.forget_cached()
    platform_keys.create(NOW)
    genesis.write(genesis.document(network="meshwork-testnet", testnet=True, timestamp=NOW, block_seconds=10), NOW)
    yield
    platform_keys.forget_cached()


@pytest.fixture
def done(rita: User, ada: Machine) -> Job:
    job = submission.submit(rita, embed(*"abc", chunk_size=1), later(1))
    ada.work(later(2))
    job.refresh_from_db()
    return job


def receipt_of(job: Job) -> dict[str, Any]:
    blocks.seal_due(later(15))
    assert receipts.issue_due(later(16)) == 1
    return receipts.receipt(job)


def test_a_receipt_waits_for_the_block(done: Job) -> None:
    assert receipts.issue_due(later(3)) == 0
    with pytest.raises(ReceiptPending):
        receipts.receipt(done)


def test_a_job_that_is_not_closed_has_no_receipt(rita: User, ada: Machine) -> None:
    submission.submit(rita, embed("a"), later(1))
    blocks.seal_due(later(15))
    assert receipts.issue_due(later(16)) == 0


def test_a_receipt_is_verified_offline(done: Job) -> None:
    receipt = receipt_of(done)
    verdict = verify_receipt(receipt, platform_keys.root_fingerprint())
    assert verdict.ok, verdict.checks
    body = unverified_payload(receipt)["body"]
    assert (body["job"], body["status"], body["price"]) == (done.pk, "COMPLETED", str(done.price))
    assert [chunk["index"] for chunk in body["chunks"]] == [0, 1, 2]
    assert body["artifacts"] == [{"name": "model.onnx", "sha256": "ab" * 32}]
    assert Event.objects.filter(kind="job.receipt", subject=done.pk).count() == 1


def test_a_receipt_is_issued_once(done: Job) -> None:
    first = receipt_of(done)
    assert receipts.issue_due(later(20)) == 0
    assert not receipts.issue(done, later(20))
    assert receipts.receipt(done) == first
    assert Receipt.objects.count() == 1


def test_a_cancelled_jobs_receipt_shows_what_was_delivered(rita: User, ada: Machine) -> None:
    job = submission.submit(rita, embed("a", "b", chunk_size=1), later(1))
    [task] = ada.take(1, later(2))
    ada.start(task, later(2))
    ada.answer(task, later(3))
    cancel.cancel(job.pk, rita, later(4))
    receipt = receipt_of(job)
    assert verify_receipt(receipt, platform_keys.root_fingerprint()).ok
    body = unverified_payload(receipt)["body"]
    assert (body["status"], len(body["chunks"])) == ("CANCELLED", 1)


def test_an_altered_receipt_does_not_hold(done: Job) -> None:
    receipt = receipt_of(done)
    payload = unverified_payload(receipt)
    payload["body"]["price"] = "1"
    forged = {**receipt, "payload": b64(json.dumps(payload, sort_keys=True, separators=(",", ":")).encode())}
    assert not verify_receipt(forged, platform_keys.root_fingerprint()).ok


def test_a_receipt_of_another_network_does_not_hold(done: Job) -> None:
    assert not verify_receipt(receipt_of(done), "00" * 32).ok
