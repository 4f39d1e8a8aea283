"""`mesh verify`: checks a receipt offline, with nothing but the network's root fingerprint."""

import json
from pathlib import Path
from typing import Annotated

import typer

from workers.client.account_commands import Json
from workers.client.errors import ClientError
from workers.client.output import print_json, say, words
from workers.protocol.receipts import verify_receipt


class NotVerified(ClientError):
    """The document does not hold what it claims."""

    code = "not_verified"


def verify(
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A receipt as JSON.")],
    root: Annotated[
        str | None, typer.Option("--root", help="The network's root fingerprint, from a source you trust.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check signatures, result hashes, fees, transfers and their proofs. Needs no network."""
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        raise NotVerified(f"{path} is not JSON: {error}") from error
    verdict = verify_receipt(document, root)
    if as_json:
        checks = [{"check": name, "ok": ok, "detail": detail} for name, ok, detail in verdict.checks]
        print_json({"ok": verdict.ok, "checks": checks})
    else:
        for name, ok, detail in verdict.checks:
            words.print(f"{'✓' if ok else '✗'} {name}: {detail}", markup=False)
    if not verdict.ok:
        raise NotVerified(f"{path} does not verify.")
    if root is None:
        say("Verified against the root key that the receipt itself names; give --root to pin the network you trust.")
    else:
        say("Verified.")
