"""Changing a node's keys: what the new key signs, so that nobody announces a key that they do not hold."""

from workers.protocol import canonical
from workers.protocol.keys import b64


def proof(net: str, node_id: str, sign_public: bytes, seal_public: bytes) -> bytes:
    """The bytes that the new signing key signs."""
    return canonical.dumps(
        {
            "purpose": "node.rotate",
            "net": net,
            "node": node_id,
            "sign_public": b64(sign_public),
            "seal_public": b64(seal_public),
        }
    )
