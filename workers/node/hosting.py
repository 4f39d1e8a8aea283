"""Joining as a host of shards: no token and no review; a wallet, proof-of-work, and possession of the machine's key."""

import json
from pathlib import Path
from typing import Any

import httpx

from workers.node.api import TIMEOUT, answer_of
from workers.node.config import NodeConfig
from workers.node.errors import AlreadyEnrolled, PlatformUnreachable
from workers.node.identity import is_enrolled, load_or_make_keys, write_private
from workers.node.probe import probe
from workers.protocol import pow as proof_of_work
from workers.protocol.canonical import dumps
from workers.protocol.errors import WrongKind, WrongSender
from workers.protocol.keys import SigningKey, b64

PURPOSE = "host.join"


def path_of(directory: Path) -> Path:
    """Where the platform's answer is kept."""
    return directory / "host.json"


def join_as_host(config: NodeConfig, wallet: SigningKey) -> dict[str, Any]:
    """Join and keep the answer. Raises NodeErrors; a second try uses the same keys."""
    if is_enrolled(config.directory) or path_of(config.directory).exists():
        raise AlreadyEnrolled(f"{config.directory} already holds an enrolled node or host.")
    signing, sealing = load_or_make_keys(config.directory)
    keys = {"name": config.name, "sign_public": b64(signing.public), "seal_public": b64(sealing.public)}
    with httpx.Client(base_url=f"{config.platform_url}/api/v1/hosts", timeout=TIMEOUT) as http:
        try:
            message = answer_of(http.post("/challenge", json=keys))["message"]
            # The wallet signs what it asked for and nothing else that a site may send.
            if message.get("purpose") != PURPOSE:
                raise WrongKind(f"{config.platform_url} asked for a signature for another purpose.")
            if any(message.get(name) != value for name, value in keys.items()):
                raise WrongSender(f"{config.platform_url} asked for a signature for another machine.")
            text = dumps(message)
            body = {
                "message": message,
                "public": b64(wallet.public),
                "signature": b64(wallet.sign(text)),
                "host_signature": b64(signing.sign(text)),
                "work": proof_of_work.solve(message["nonce"], keys["sign_public"], message["zeros"]),
                "probe": probe(),
            }
            host = answer_of(http.post("/join", json=body))
        except httpx.HTTPError as error:
            raise PlatformUnreachable(f"{config.platform_url} did not answer: {error}") from error
    write_private(path_of(config.directory), json.dumps({**host, "site_url": config.platform_url}).encode())
    return host
