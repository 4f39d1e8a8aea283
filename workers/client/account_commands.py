"""`mesh login`, `logout`, `me`, and `mesh wallet`."""

import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from workers.client import credentials
from workers.client.client import MeshClient
from workers.client.output import print_fields, print_json, say
from workers.node.identity import write_private
from workers.protocol.canonical import dumps
from workers.protocol.keylist import fingerprint
from workers.protocol.keys import SigningKey, b64

wallet = typer.Typer(no_args_is_help=True)
Url = Annotated[str | None, typer.Option("--url", help="The network's site; MESH_URL.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def login(
    url: Url = None,
    email: Annotated[str | None, typer.Option("--email", help="Your account's e-mail address.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="An API key made on the site, instead of a password.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What the new key is called; this host's name.")] = None,
) -> None:
    """Keep an API key for later commands. The password is asked for, or read from MESH_PASSWORD."""
    chosen = credentials.load(url).url
    if key is None:
        email = email or typer.prompt("E-mail", err=True)
        password = os.environ.get("MESH_PASSWORD") or typer.prompt("Password", hide_input=True, err=True)
        with MeshClient(chosen) as mesh:
            key = str(mesh.login(email, password, name or socket.gethostname())["key"])
    with MeshClient(chosen, key) as mesh:
        account = mesh.me()
    credentials.save(chosen, key)
    say(f"Logged in to {chosen} as {account['email']}.")


def logout() -> None:
    """Forget the stored key. It stays valid until you revoke it on the site's API keys page."""
    say("Forgotten." if credentials.forget() else "There was no stored key.")


def me(url: Url = None, as_json: Json = False) -> None:
    """Your account, balance and operator."""
    with credentials.client(url) as mesh:
        account = mesh.me()
    if as_json:
        print_json(account)
        return
    operator = account.get("operator") or {}
    print_fields(
        {
            "e-mail": account["email"],
            "balance": f"{account['balance']} MESH",
            "held": f"{account.get('held', '0')} MESH",
            "tier": operator.get("tier", "not an operator"),
        }
    )


def wallet_path(name: str) -> Path:
    """Where a wallet's private key is kept."""
    return credentials.path().parent / "wallets" / f"{name}.key"


@wallet.command("new")
def wallet_new(
    name: Annotated[str, typer.Argument(help="A name for the wallet on this machine.")] = "default",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Make an Ed25519 wallet, bind it to your account and claim the testnet faucet's first reward."""
    path = wallet_path(name)
    if path.exists():
        key = SigningKey.from_bytes(path.read_bytes())
        say(f"Using the wallet that is already in {path}.")
    else:
        key = SigningKey.generate()
        write_private(path, key.private_bytes)
        say(f"The private key is in {path}. Nobody else has it: keep a copy.")
    with credentials.client(url) as mesh:
        challenge = mesh.get("/api/v1/wallets/challenge")
        signature = key.sign(dumps(challenge["message"]))
        body = {"public": b64(key.public), "signature": b64(signature), "message": challenge["message"], "label": name}
        bound = mesh.post("/api/v1/wallets", body)
    if as_json:
        print_json(bound)
        return
    print_fields({"address": fingerprint(key.public), "claimed": f"{bound.get('claimed', '0')} MESH"})


@wallet.command("list")
def wallet_list() -> None:
    """Wallets on this machine."""
    folder = wallet_path("x").parent
    found = sorted(folder.glob("*.key")) if folder.exists() else []
    if not found:
        say("There is no wallet here yet. Make one with `mesh wallet new`.")
    print_fields({p.stem: fingerprint(SigningKey.from_bytes(p.read_bytes()).public) for p in found})
