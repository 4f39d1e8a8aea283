"""`mesh login`, `logout` and `me`."""

import os
import socket
from typing import Annotated

import typer

from workers.client import credentials, wallets
from workers.client.client import MeshClient
from workers.client.output import print_fields, print_json, say

Url = Annotated[str | None, typer.Option("--url", help="The network's site; MESH_URL.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def login(
    url: Url = None,
    email: Annotated[str | None, typer.Option("--email", help="Your account's e-mail address.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="An API key made on the site, instead of a password.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What the new key is called; this host's name.")] = None,
    wallet: Annotated[
        str | None, typer.Option("--wallet", help="A wallet of this machine, instead of e-mail and password.")
    ] = None,
) -> None:
    """Keep an API key for later commands. The password is asked for, or read from MESH_PASSWORD.

    A wallet that no account has gets an account of its own.
    """
    chosen = credentials.load(url).url
    if wallet is not None:
        with MeshClient(chosen) as mesh:
            key = wallets.log_in(mesh, wallets.load(wallet), wallet, name or socket.gethostname())
    elif key is None:
        email = email or typer.prompt("E-mail", err=True)
        password = os.environ.get("MESH_PASSWORD") or typer.prompt("Password", hide_input=True, err=True)
        with MeshClient(chosen) as mesh:
            key = str(mesh.login(email, password, name or socket.gethostname())["key"])
    with MeshClient(chosen, key) as mesh:
        account = mesh.me()
    credentials.save(chosen, key)
    say(f"Logged in to {chosen} as {account['email'] or account['name']}.")


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
            "e-mail": account["email"] or "none",
            "balance": f"{account['balance']} MESH",
            "held": f"{account.get('held', '0')} MESH",
            "tier": operator.get("tier", "not an operator"),
        }
    )
