"""A small platform for tests of the node's side: real HTTP, keys and envelopes; it remembers what it was sent."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from workers.node.identity import Broker, Identity
from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.envelope import sign_envelope
from workers.protocol.keylist import make_key_list
from workers.protocol.keys import SealingKey, SigningKey, b64, fingerprint
from workers.protocol.sealing import job_info, seal

NET = "test-net"
NODE = "node_00000000000000000000000001"


@dataclass
class Platform:
    """Keys and a node API that answers what it is told to."""

    url: str = ""
    root: SigningKey = field(default_factory=SigningKey.generate)
    signing: SigningKey = field(default_factory=SigningKey.generate)
    sealing: SealingKey = field(default_factory=SealingKey.generate)
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: int | None = None
    stall_after: int | None = None
    requests: list[str] = field(default_factory=list)

    def key_list(self, version: int = 1) -> dict[str, Any]:
        end = unix_ms(utcnow()) + 10**10
        keys = [(self.signing.public, "platform"), (self.sealing.public, "seal")]
        listed = [
            {"kid": fingerprint(p)[:16], "public": b64(p), "purpose": use, "not_before": 0, "not_after": end}
            for p, use in keys
        ]
        return make_key_list(self.root, NET, version, listed, utcnow())

    def identity(self) -> Identity:
        return Identity(
            node_id=NODE,
            name="test",
            network=NET,
            root_fingerprint=fingerprint(self.root.public),
            site_url=self.url,
            node_api=self.url,
            gateway=self.url.replace("http", "ws") + "/ws/node",
            broker=Broker("redis://localhost:1/0", "node-x", "secret", "nx:"),
            key_list=self.key_list(),
            lanes={"inference.cpu": 1},
        )

    def task(self, seal_public: bytes, payload: bytes, **changes: Any) -> dict[str, Any]:
        """A sealed and signed task.run; `changes` go into its body, or `key`, `to`, `net`, `now` into its envelope."""
        envelope = {k: changes.pop(k) for k in ("key", "to", "net", "now", "ttl_s") if k in changes}
        now = envelope.pop("now", utcnow())
        body = {
            "job": "job_1",
            "task": "tsk_1",
            "attempt": 1,
            "kind": "embed",
            "lane": "inference.cpu",
            "model": "test-model",
            "version": "1",
            "files": [],
            "params": {},
            "payload_sha256": sha256(payload).hexdigest(),
            "sealed": b64(seal(seal_public, payload, job_info(NET, "job_1", "tsk_1", 1, NODE))),
            "lease_expires_at": unix_ms(utcnow()) + 60_000,
            "deadline": unix_ms(utcnow()) + 60_000,
            **changes,
        }
        chosen = {"key": self.signing, "net": NET, "to": NODE, **envelope}
        return sign_envelope("task.run", body, sender="platform", now=now, **chosen)


@contextmanager
def platform_at_work() -> Iterator[Platform]:
    """The platform behind a real HTTP server on this machine."""
    platform = Platform()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(platform))
    platform.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield platform
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def handler_for(platform: Platform) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        log_message: Callable[..., None] = lambda *args: None

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            path = self.path.removeprefix("/api/v1/pool").split("?")[0]
            platform.received.append((path, body))
            code, answer = platform.answers.get(
                path.split("/")[-1], platform.answers.get(path, (200, {"status": "running"}))
            )
            self.answer(code, json.dumps(answer).encode())

        def do_GET(self) -> None:
            platform.requests.append(self.headers.get("Range", "whole"))
            content = platform.files.get(self.path)
            if content is None:
                self.answer(404, b"{}")
                return
            start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
            part = content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if platform.cut_after is not None and len(part) > platform.cut_after:
                self.wfile.write(part[: platform.cut_after])
                self.wfile.flush()
                self.connection.close()
                return
            if platform.stall_after is not None:
                self.stall(part[: platform.stall_after])
                return
            self.wfile.write(part)

        def stall(self, part: bytes) -> None:
            """Send a part, then nothing more until the other side hangs up."""
            self.wfile.write(part)
            self.wfile.flush()
            self.connection.settimeout(30)
            self.connection.recv(1)
            self.close_connection = True

        def answer(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
