"""Enrolment: one-use token, pinned root key, proof-of-work, proof of possession of the node's own key."""

from pathlib import Path
from typing import Any

import httpx

from workers.node.api import PLATFORM, TIMEOUT, answer_of
from workers.node.config import NodeConfig
from workers.node.errors import AlreadyEnrolled, PlatformUnreachable, TrustBroken
from workers.node.identity import Broker, Identity, is_enrolled, load_or_make_keys, save
from workers.node.probe import lanes_for, probe
from workers.protocol import pow as proof_of_work
from workers.protocol.clock import utcnow
from workers.protocol.envelope import open_envelope, sign_envelope
from workers.protocol.errors import ProtocolError
from workers.protocol.keylist import open_key_list
from workers.protocol.keys import b64

FINGERPRINT_PREFIX = 16


def discover(platform_url: str) -> dict[str, Any]:
    """The network's public description from `/.well-known/meshwork`."""
    try:
        return answer_of(httpx.get(f"{platform_url}/.well-known/meshwork", timeout=TIMEOUT))
    except httpx.HTTPError as error:
        raise PlatformUnreachable(f"{platform_url} did not answer: {error}") from error


def pinned_root(token: str, network: dict[str, Any]) -> str:
    """The root's whole fingerprint, once it agrees with what the token carries and signs the key list."""
    parts = token.split("_")
    fingerprint = str(network.get("root_fingerprint", ""))
    if (
        len(parts) != 3
        or parts[0] != "mwt"
        or not fingerprint.startswith(parts[1])
        or len(parts[1]) < FINGERPRINT_PREFIX
    ):
        raise TrustBroken("The token was not issued by the network at this address.")
    try:
        open_key_list(network["key_list"], fingerprint)
    except (ProtocolError, KeyError) as error:
        raise TrustBroken(f"The network's key list is not signed by its root key: {error}") from error
    return fingerprint


def join(config: NodeConfig, token: str) -> Identity:
    """Enrol this host and keep what the platform issues. Raises NodeErrors; nothing is kept unless it succeeds."""
    if is_enrolled(config.directory):
        raise AlreadyEnrolled(f"{config.directory} already holds an enrolled node.")
    network = discover(config.platform_url)
    fingerprint = pinned_root(token, network)
    signing, sealing = load_or_make_keys(config.directory)
    report = {**probe(), "slots": config.slots}
    base = f"{network['urls']['node_api']}/api/v1/pool"
    with httpx.Client(base_url=base, timeout=TIMEOUT) as http:
        try:
            challenge = answer_of(http.post("/challenge", json={"token": token}))
            body = {
                "token": token,
                "name": config.name,
                "sign_public": b64(signing.public),
                "seal_public": b64(sealing.public),
                "probe": report,
                "challenge": challenge["challenge"],
                "nonce": proof_of_work.solve(challenge["challenge"], b64(signing.public), challenge["zeros"]),
            }
            net = network["network"]
            envelope = sign_envelope(
                "node.register", body, key=signing, net=net, sender=signing.kid, to=PLATFORM, now=utcnow()
            )
            issued = answer_of(http.post("/register", json=envelope))
        except httpx.HTTPError as error:
            raise PlatformUnreachable(f"{base} did not answer: {error}") from error
    return keep(config.directory, network, fingerprint, issued, lanes_for(report, config.slots))


def keep(
    directory: Path, network: dict[str, Any], fingerprint: str, issued: dict[str, Any], lanes: dict[str, int]
) -> Identity:
    """Check the platform's signature on its answer and store the identity."""
    keys = open_key_list(network["key_list"], fingerprint)
    answer = open_envelope(
        issued,
        net=network["network"],
        to=load_or_make_keys(directory)[0].kid,
        kinds={"platform.registered"},
        resolve=keys.resolve,
        now=utcnow(),
        replay=None,
    ).body
    identity = Identity(
        node_id=answer["node_id"],
        name=answer["name"],
        network=network["network"],
        root_fingerprint=fingerprint,
        site_url=network["urls"]["site"],
        node_api=answer["node_api"],
        gateway=answer["gateway"],
        broker=Broker(**answer["broker"]),
        key_list=network["key_list"],
        lanes=answer.get("lanes") or lanes,
    )
    save(directory, identity)
    return identity
