"""One audit, from the first question to the report and, where it is wanted, the export."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from apps.core import platform_keys
from apps.ledger.audit import chain, rows
from apps.ledger.audit.report import AuditReport
from apps.ledger.errors import GenesisMissing
from apps.ledger.models import Genesis, Transfer
from workers.protocol.envelope import sign_document
from workers.protocol.ledger_export import KIND, Writer

AUDITOR = 5_072_709
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Export:
    """A written export: its file, how many bytes, and their SHA-256."""

    path: Path
    size: int
    sha256: str


def unwatched(step: str, done: int, total: int) -> None:
    """Nobody looks."""


def run(now: datetime, *, watch: Watch = unwatched) -> AuditReport:
    """Check everything. Reads only; posting and sealing go on meanwhile. `watch` is told step, done and total."""
    with snapshot():
        return _audited(now, watch, None)


def run_and_export(now: datetime, path: Path, *, watch: Watch = unwatched) -> tuple[AuditReport, Export]:
    """Check everything, and write what passes by to a file that is verified without the database.

    Raises GenesisMissing where there is no ledger to export, KeysMissing where nobody can sign it.
    """
    with snapshot(), Writer(path) as writer:
        started = Genesis.objects.first()
        if started is None:
            raise GenesisMissing
        report = _audited(now, watch, writer)
        beginning = {"document": started.document, "signature": started.signature}
        summary = {"at": report.as_dict()["at"], "network": report.network, **report.summary()}
        writer.close(beginning, platform_keys.key_list(), summary, _signed_at(now))
    with path.open("rb") as file:
        return report, Export(path, path.stat().st_size, file_digest(file, "sha256").hexdigest())


def _audited(now: datetime, watch: Watch, writer: Writer | None) -> AuditReport:
    total = Transfer.objects.count()
    asked = rows.checks(watch)
    done = 0

    def tick() -> None:
        nonlocal done
        watch("chain", min(done, total), total)
        done += chain.STEP

    walked = chain.walk(tick, writer)
    watch("accounts", total, total)
    found, state = chain.close(walked, writer)
    last, document = walked.last, walked.document
    return AuditReport(
        at=now,
        network=walked.net,
        transfers=walked.transfers,
        pending=walked.pending,
        blocks=walked.blocks,
        height=int(last.header["height"]) if last else -1,
        head=last.hash if last else "",
        genesis=Genesis.objects.values_list("hash", flat=True).first() or "" if document else "",
        minted=walked.minted,
        burned=walked.burned,
        state=state,
        checks=[*asked, *found],
    )


def _signed_at(now: datetime) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def sign(manifest: dict[str, Any]) -> dict[str, Any]:
        key, net = platform_keys.signing_key(), platform_keys.network_id()
        return sign_document(KIND, manifest, key=key, net=net, now=now)

    return sign


@contextmanager
def snapshot() -> Iterator[None]:
    """One state of the database for all questions; inside somebody's transaction, theirs."""
    nested = connection.in_atomic_block
    with nullcontext() if nested else transaction.atomic():
        if not nested:
            with connection.cursor() as cursor:
                cursor.execute("set transaction isolation level repeatable read")
        yield
