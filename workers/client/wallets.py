"""Wallets of this machine: one private file each, under the user's configuration folder; and what they sign."""

import re
from pathlib import Path
from typing import Any

from workers.client import credentials
from workers.client.client import MeshClient
from workers.client.errors import WalletExists, WalletNameRefused, WalletUnknown
from workers.node.identity import write_private
from workers.protocol.canonical import dumps
from workers.protocol.keys import SigningKey, b64

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", re.ASCII)


def folder() -> Path:
    """Where the files are."""
    return credentials.path().parent / "wallets"


def path_of(name: str) -> Path:
    """Where a wallet's private key is kept; raises WalletNameRefused for what would be another folder's file."""
    if not _NAME.fullmatch(name):
        raise WalletNameRefused(WalletNameRefused.__doc__)
    return folder() / f"{name}.key"


def names() -> list[str]:
    """The wallets of this machine."""
    return sorted(path.stem for path in folder().glob("*.key")) if folder().exists() else []


def load(name: str) -> SigningKey:
    """A wallet's key; raises WalletUnknown."""
    path = path_of(name)
    if not path.exists():
        raise WalletUnknown(f"There is no wallet named {name} here. Make it with `mesh wallet new {name}`.")
    return SigningKey.from_bytes(path.read_bytes())


def keep(name: str, key: SigningKey) -> Path:
    """Write a new wallet; raises WalletExists rather than write over another key."""
    path = path_of(name)
    if path.exists() and load(name).public != key.public:
        raise WalletExists(f"{path} holds another wallet. Choose another name.")
    write_private(path, key.private_bytes)
    return path


def signed(key: SigningKey, message: dict[str, Any]) -> dict[str, Any]:
    """A message with the wallet's signature over its canonical form."""
    return {"public": b64(key.public), "signature": b64(key.sign(dumps(message))), "message": message}


def bind(mesh: MeshClient, key: SigningKey, label: str) -> dict[str, Any]:
    """Bind the wallet to the client's account; the first one claims the testnet faucet's reward."""
    challenge = mesh.get("/api/v1/wallets/challenge")
    return mesh.post("/api/v1/wallets", {**signed(key, challenge["message"]), "label": label})


def log_in(mesh: MeshClient, key: SigningKey, label: str, name: str) -> str:
    """An API key named `name` for the wallet's account, which is made where there is none."""
    challenge = mesh.post("/api/v1/auth/wallet/challenge", {"purpose": "wallet.key"})
    proof = signed(key, challenge["message"])
    return str(mesh.post("/api/v1/auth/wallet", {**proof, "label": label, "name": name})["key"])
