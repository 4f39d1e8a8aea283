"""`mesh wallet new | list | export | import | sign`."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from workers.client import credentials, wallets
from workers.client.account_commands import Json, Url
from workers.client.errors import FileRefused
from workers.client.output import print_fields, print_json, say
from workers.node.identity import write_private
from workers.protocol import canonical, wallet_file
from workers.protocol.keys import SigningKey, fingerprint

wallet = typer.Typer(no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The wallet's name on this machine.")]


@wallet.command("new")
def wallet_new(name: Name = "default", url: Url = None, as_json: Json = False) -> None:
    """Make an Ed25519 wallet. Logged in, it is bound to your account and claims the testnet faucet's first reward."""
    if name in wallets.names():
        key = wallets.load(name)
        say(f"Using the wallet that is already in {wallets.path_of(name)}.")
    else:
        key = SigningKey.generate()
        path = wallets.keep(name, key)
        say(f"The private key is in {path}. Nobody else has it: keep a copy with `mesh wallet export {name}`.")
    shown: dict[str, Any] = {"address": fingerprint(key.public)}
    with credentials.client(url) as mesh:
        if mesh.key:
            shown |= wallets.bind(mesh, key, name)
    if as_json:
        print_json(shown)
        return
    print_fields({"address": shown["address"]})
    if "claimed" in shown:
        print_fields({"claimed": f"{shown['claimed']} MESH"})
    else:
        say(f"No account has it yet: `mesh login --wallet {name}` makes one and claims the faucet's first reward.")


@wallet.command("list")
def wallet_list(as_json: Json = False) -> None:
    """Wallets on this machine."""
    found = {name: fingerprint(wallets.load(name).public) for name in wallets.names()}
    if as_json:
        print_json([{"name": name, "address": address} for name, address in found.items()])
        return
    if not found:
        say("There is no wallet here yet. Make one with `mesh wallet new`.")
    print_fields(found)


@wallet.command("export")
def wallet_export(
    name: Name = "default",
    file: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write; standard output.")] = None,
) -> None:
    """Write a wallet as a file that a passphrase opens; the site's wallet page reads it too.

    The passphrase is asked for, or read from MESH_WALLET_PASSPHRASE.
    """
    document = wallet_file.write(wallets.load(name), passphrase(confirm=True), name)
    if file is None:
        sys.stdout.write(document.decode() + "\n")
        return
    write_private(file, document + b"\n")
    say(f"{file} holds the wallet. Who has the file and the passphrase has the wallet.")


@wallet.command("import")
def wallet_import(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file that an export wrote.")],
    name: Annotated[str, typer.Argument(help="The wallet's name on this machine.")] = "default",
    as_json: Json = False,
) -> None:
    """Read a wallet from an encrypted file, of this command line or of a browser. It never replaces another wallet."""
    opened = wallet_file.read(read_whole(file), passphrase(confirm=False))
    path = wallets.keep(name, opened.key)
    shown = {"name": name, "address": fingerprint(opened.key.public), "label": opened.label}
    print_json(shown) if as_json else print_fields(shown)
    say(f"The private key is in {path}.")


@wallet.command("sign")
def wallet_sign(
    document: Annotated[Path, typer.Argument(help="A file of JSON; - reads standard input.")],
    name: Annotated[str, typer.Option("--wallet", help="Which wallet signs.")] = "default",
) -> None:
    """Sign a JSON document's canonical form and print document, public key and signature. Read it before you sign."""
    text = sys.stdin.buffer.read() if str(document) == "-" else read_whole(document)
    print_json(wallets.signed(wallets.load(name), canonical.parse(text)))


def read_whole(file: Path) -> bytes:
    """A file's bytes; raises FileRefused."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise FileRefused(f"{file} cannot be read: {error.strerror}") from error


def passphrase(*, confirm: bool) -> str:
    """From the environment, else asked for on the terminal."""
    given = os.environ.get("MESH_WALLET_PASSPHRASE")
    return given or str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True))
