"""`mesh verify`: checks a receipt, a certificate or evidence offline, with nothing but what the caller trusts."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from workers.client.account_commands import Json
from workers.client.errors import ClientError
from workers.client.output import print_json, say, words
from workers.consensus import certificate, evidence
from workers.protocol.receipts import verify_receipt


class NotVerified(ClientError):
    """The document does not hold what it claims."""

    code = "not_verified"


def verify(
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A receipt, certificate or evidence.")],
    root: Annotated[
        str | None, typer.Option("--root", help="Receipts: the network's root fingerprint, from a source you trust.")
    ] = None,
    block: Annotated[
        str | None, typer.Option("--block", help="Certificates: the hash of the ledger's block that you trust.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a job's receipt, a round's certificate or the evidence of a fault: signatures, hashes, sums and quorum.

    Needs no network.
    """
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        raise NotVerified(f"{path} is not JSON: {error}") from error
    if certificate.looks_like(document):
        found = certificate.verify(document, pinned_block_hash=block)
        ok, checks, trusts = found.ok, found.checks, found.trusts
    elif evidence.looks_like(document):
        found = evidence.check(document)
        ok, checks, trusts = found.ok, found.checks, found.trusts
    else:
        verdict = verify_receipt(document, root)
        ok, checks, trusts = verdict.ok, verdict.checks, ""
    _show(ok, checks, trusts, as_json)
    if not ok:
        raise NotVerified(f"{path} does not verify.")
    if root is None and not trusts:
        say("Verified against the root key that the receipt itself names; give --root to pin the network you trust.")
    else:
        say("Verified." if not trusts else f"Verified. {trusts}")


def _show(ok: bool, checks: list[tuple[str, bool, str]], trusts: str, as_json: bool) -> None:
    """Every check, and what was taken on trust."""
    if as_json:
        shown: dict[str, Any] = {
            "ok": ok,
            "checks": [{"check": name, "ok": held, "detail": detail} for name, held, detail in checks],
        }
        print_json(shown | ({"trusts": trusts} if trusts else {}))
        return
    for name, held, detail in checks:
        words.print(f"{'✓' if held else '✗'} {name}: {detail}", markup=False)
