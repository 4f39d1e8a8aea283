"""The one WebSocket that says this node is here: signed hello, then control messages from the platform."""

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from workers.node.identity import Identity
from workers.protocol.clock import utcnow
from workers.protocol.envelope import MemoryReplayGuard, open_envelope, sign_envelope
from workers.protocol.errors import ProtocolError
from workers.protocol.keys import SigningKey

logger = logging.getLogger("node.presence")
CONTROLS = {
    "control.cancel",
    "control.drain",
    "control.resume",
    "control.revoked",
    "control.work",
    "control.parameters",
    "control.banned",
    "control.unbanned",
    "control.limits",
}
BACK_OFF_S = (0.2, 15.0)
PING_S = 10.0
MAX_BYTES = 2**20

Hello = Callable[[], dict[str, Any]]
Control = Callable[[str, dict[str, Any]], None]


class Presence(threading.Thread):
    """Keeps the socket open, with back-off; calls `control(kind, body)` for each verified message."""

    def __init__(self, identity: Identity, key: SigningKey, hello: Hello, control: Control) -> None:
        super().__init__(name="presence", daemon=True)
        self.identity = identity
        self.key = key
        self.hello = hello
        self.control = control
        self.stopping = threading.Event()
        self.connected = threading.Event()
        self.replay = MemoryReplayGuard()

    def run(self) -> None:
        pause = BACK_OFF_S[0]
        while not self.stopping.is_set():
            try:
                with connect(self.identity.gateway, max_size=MAX_BYTES, open_timeout=10, close_timeout=2) as socket:
                    self.greet(socket)
                    self.connected.set()
                    pause = BACK_OFF_S[0]
                    self.listen(socket)
            except (OSError, WebSocketException, TimeoutError, ValueError, ProtocolError) as error:
                logger.warning("The gateway's socket closed", extra={"error": str(error)[:200], "next_try_s": pause})
            finally:
                self.connected.clear()
            self.stopping.wait(pause)
            pause = min(pause * 2, BACK_OFF_S[1])

    def greet(self, socket: ClientConnection) -> None:
        """Answer the gateway's challenge with a signed hello."""
        challenge = json.loads(socket.recv(timeout=10))["challenge"]
        body = {**self.hello(), "challenge": challenge}
        envelope = sign_envelope(
            "node.hello",
            body,
            key=self.key,
            net=self.identity.network,
            sender=self.identity.node_id,
            to="platform",
            now=utcnow(),
        )
        socket.send(json.dumps(envelope))
        answer = json.loads(socket.recv(timeout=10))
        if answer.get("type") != "welcome":
            raise ValueError(f"the gateway refused the hello: {answer.get('code', answer)}")
        logger.info("Connected to the gateway")

    def listen(self, socket: ClientConnection) -> None:
        """Handle messages until the socket closes; a ping now and then finds a dead path."""
        while not self.stopping.is_set():
            try:
                message = json.loads(socket.recv(timeout=PING_S))
            except TimeoutError:
                socket.send(json.dumps({"type": "ping"}))
                continue
            if "payload" in message:
                self.handle(message)

    def handle(self, raw: dict[str, Any]) -> None:
        """A control message counts only with the platform's signature."""
        try:
            envelope = open_envelope(
                raw,
                net=self.identity.network,
                to=self.identity.node_id,
                kinds=CONTROLS,
                resolve=self.identity.keys().resolve,
                now=utcnow(),
                replay=self.replay,
            )
        except ProtocolError as error:
            logger.warning("A control message was refused", extra={"code": error.code})
            return
        self.control(envelope.kind, envelope.body)

    def stop(self) -> None:
        """Close the socket soon."""
        self.stopping.set()
