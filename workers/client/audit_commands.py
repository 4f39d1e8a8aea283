"""`mesh audit`: checks a network's ledger, or one transfer of it, without trusting the network's word."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from workers.client import credentials
from workers.client.account_commands import Json, Url
from workers.client.client import MeshClient
from workers.client.errors import ClientError, FileRefused
from workers.client.output import print_json, say, words
from workers.protocol.ids import parse_uuid
from workers.protocol.ledger_export import ExportBroken
from workers.protocol.ledger_proof import looks_like_proof, proof_from_export, verify_proof
from workers.protocol.ledger_verify import Pins, Verdict, verify_export

PIECE = 2**20
app = typer.Typer(no_args_is_help=True, help="Check the ledger yourself.")
Root = Annotated[str | None, typer.Option("--root", help="The network's root fingerprint, from a source you trust.")]
Beginning = Annotated[
    str | None, typer.Option("--genesis", help="Exports: the hash of the genesis document that you trust.")
]
Pinned = Annotated[str | None, typer.Option("--block", help="Proofs: the hash of the block that you trust.")]


class NotVerified(ClientError):
    """The file does not hold what it claims."""

    code = "not_verified"


class NotInExport(ClientError):
    """The export holds no such sealed transfer."""

    code = "not_in_export"
    exit_code = 3


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An export of the ledger, or a proof.")],
    genesis: Beginning = None,
    root: Root = None,
    block: Pinned = None,
    as_json: Json = False,
) -> None:
    """Recompute an export of the ledger, or a transfer's proof. Needs no network and no database."""
    document = _as_proof(file)
    if document is not None:
        verdict = verify_proof(document, root=root, block=block)
    else:
        verdict = verify_export(file, Pins(genesis, root))
    if as_json:
        print_json(_as_json(verdict))
    else:
        _show(verdict)
    if not verdict.ok:
        broken = ", ".join(name for name, found in verdict.found.items() if found)
        raise NotVerified(f"{file.name} does not verify: {broken}.")
    say(f"Verified. {verdict.trusts}".rstrip())


@app.command("prove")
def prove(
    transfer: Annotated[str, typer.Argument(help="A transfer's id: txn_… or a UUID.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to keep the proof.")] = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", exists=True, dir_okay=False, help="Make it from this export, without the network."),
    ] = None,
    url: Url = None,
) -> None:
    """Get the proof that a transfer stands in a sealed block, check it, and print or keep it."""
    if export is not None:
        try:
            document = proof_from_export(export, _uuid_text(transfer))
        except ExportBroken as error:
            raise NotInExport(str(error)) from error
    else:
        with MeshClient(credentials.load(url).url) as mesh:
            document = mesh.get(f"/api/v1/ledger/transfers/{transfer}/proof")
    verdict = verify_proof(document)
    if not verdict.ok:
        _show(verdict)
        raise NotVerified("The proof that came does not verify.")
    if output is None:
        print_json(document)
    else:
        output.write_text(json.dumps(document, indent=2) + "\n")
    height = document["block"]["header"]["height"]
    say(f"Transfer {document['leaf']['txId']} stands in block {height}. {verdict.trusts}".rstrip())


@app.command("export")
def export_ledger(output: Annotated[Path, typer.Argument(help="Where to write the export.")], url: Url = None) -> None:
    """Download the newest export of the network's ledger; check it with `mesh audit verify`."""
    with MeshClient(credentials.load(url).url) as mesh:
        mesh.download("/api/v1/ledger/audit/export", output)
    say(f"Kept as {output}. Check it: mesh audit verify {output}")


def _as_proof(file: Path) -> dict[str, Any] | None:
    """The file as a proof; None where it is none."""
    with file.open("rb") as opened:
        head = opened.read(PIECE)
    if not head.lstrip().startswith(b"{"):
        return None
    try:
        document = json.loads(head)
    except ValueError as error:
        raise FileRefused(f"{file.name} is not JSON: {error}") from error
    if not looks_like_proof(document):
        raise FileRefused(f"{file.name} is neither an export nor a proof. Receipts: mesh verify {file.name}")
    return dict(document)


def _uuid_text(transfer: str) -> str:
    try:
        return str(parse_uuid("txn", transfer))
    except ValueError:
        return transfer.lower()


def _as_json(verdict: Verdict) -> dict[str, Any]:
    checks = [
        {"check": name, "ok": not verdict.found.get(name), "rule": rule, "found": verdict.found.get(name, [])}
        for name, rule in verdict.rules.items()
    ]
    return {"ok": verdict.ok, "checks": checks, "summary": verdict.summary, "trusts": verdict.trusts}


def _show(verdict: Verdict) -> None:
    """Every rule, and what breaks it."""
    for name, rule in verdict.rules.items():
        found = verdict.found.get(name, [])
        words.print(f"{'✗' if found else '✓'} {name}: {rule}", markup=False)
        for one in found:
            words.print(f"    {one}", markup=False)
    for name, value in verdict.summary.items():
        if not isinstance(value, dict):
            words.print(f"  {name}: {value}", markup=False)
