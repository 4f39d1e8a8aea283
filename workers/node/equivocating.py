"""Fault injection for testnets: an oracle that signs twice, to be seen to be caught."""

import logging
import os
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from workers.consensus.messages import NIL, PREVOTE, Sign
from workers.protocol.envelope import unverified_payload

logger = logging.getLogger("node.oracle")
SWITCH = "MESH_NODE_EQUIVOCATE"
MAINNET = "meshwork-mainnet"


class Twin:
    """With `MESH_NODE_EQUIVOCATE=1`, a second prevote beside each of the node's own, past the journal."""

    def __init__(self, network: str, kid: str) -> None:
        self.kid = kid
        self.active = os.environ.get(SWITCH) == "1"
        if self.active and network == MAINNET:
            logger.error("%s is refused: this is no testnet", SWITCH)
            self.active = False
        elif self.active:
            logger.critical("%s is set: this oracle signs twice on purpose, and will be caught", SWITCH)

    def beside(self, wires: Sequence[Any], sign: Sign) -> list[Any]:
        """The messages, each own prevote followed by a contradicting one."""
        return list(wires) if not self.active else [one for wire in wires for one in (wire, *self._other(wire, sign))]

    def _other(self, wire: Any, sign: Sign) -> list[Any]:
        payload = unverified_payload(wire)
        body = payload["body"]
        if payload["kid"] != self.kid or body["step"] != PREVOTE:
            return []
        other = sha256(b"another").hexdigest() if body["value"] == NIL else NIL
        return [sign(payload["kind"], {**body, "value": other})]
