"""`mesh node rotate-keys`: new keys, signed in by the old ones, and a new secret for the broker.

The new keys lie under `next/` until the platform has taken them and they are in place: after a kill or a lost answer
the command goes on from there.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from workers.node import identity as identities
from workers.node.api import NodeApi
from workers.node.errors import PlatformRefused
from workers.node.identity import Broker, Identity, load_or_make_keys, write_private
from workers.protocol import rotation
from workers.protocol.clock import utcnow
from workers.protocol.envelope import open_envelope
from workers.protocol.keys import SealingKey, SigningKey, b64

NEXT = "next"
# The platform took the new keys before, and its answer was lost.
TAKEN = {"unknown_key", "key_retired"}


def rotate(directory: Path) -> Identity:
    """Change the keys of this directory's node. Raises NodeErrors; the node then goes on with what it has."""
    identity = identities.load(directory)
    old, _ = load_or_make_keys(directory)
    signing, sealing = load_or_make_keys(directory / NEXT)
    try:
        answer = ask(identity, old, signing, sealing)
    except PlatformRefused as error:
        if error.code not in TAKEN:
            raise
        answer = ask(identity, signing, signing, sealing)
    renewed = replace(identity, broker=Broker(**answer["broker"]))
    identities.save(directory, renewed)
    write_private(directory / "keys" / "sealing.key", sealing.private_bytes)
    # Last: a running agent looks at this file to learn that its keys have changed.
    write_private(directory / "keys" / "signing.key", signing.private_bytes)
    shutil.rmtree(directory / NEXT)
    return renewed


def ask(identity: Identity, key: SigningKey, signing: SigningKey, sealing: SealingKey) -> dict[str, Any]:
    """The platform's signed answer to new keys that `key` vouches for."""
    proof = signing.sign(rotation.proof(identity.network, identity.node_id, signing.public, sealing.public))
    body = {"sign_public": b64(signing.public), "seal_public": b64(sealing.public), "proof": b64(proof)}
    with NodeApi(identity, key) as api:
        raw = api.post("node.rotate", "/rotate", body)
    return open_envelope(
        raw,
        net=identity.network,
        to=identity.node_id,
        kinds={"platform.rotated"},
        resolve=identity.keys().resolve,
        now=utcnow(),
        replay=None,
    ).body
