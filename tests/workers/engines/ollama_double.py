"""A server that speaks Ollama's REST API over HTTP, with the answers' fields as its API documentation has them."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

CREATED = "2026-01-01T00:00:00.000000Z"


@dataclass
class Ollama:
    """What the server holds, what it was asked, and how it misbehaves."""

    port: int = 0
    models: list[str] = field(default_factory=lambda: ["llama3.2:1b", "gemma3:latest"])
    library: list[str] = field(default_factory=lambda: ["phi4"])
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    slow_s: float = 0.0

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and body of one request."""
        if path == "/":
            return 200, "Ollama is running"
        if path == "/api/tags":
            return 200, {
                "models": [{"name": name, "model": name, "size": 1, "digest": "0" * 64} for name in self.models]
            }
        if path == "/api/generate":
            return self.generated(body)
        if path == "/api/pull":
            return self.pulled(str(body["model"]))
        return 404, "404 page not found"

    def generated(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Says its prompt again, as far as `num_predict` words go."""
        name = body["model"]
        if name not in self.models and f"{name}:latest" not in self.models:
            return 404, {"error": f"model '{name}' not found"}
        words = body["prompt"].split()[: body.get("options", {}).get("num_predict", 100)]
        return 200, {
            "model": name,
            "created_at": CREATED,
            "response": " ".join(words),
            "done": True,
            "done_reason": "stop",
            "context": [1, 2, 3],
            "total_duration": 5_000_000,
            "prompt_eval_count": len(body["prompt"].split()),
            "eval_count": len(words),
        }

    def pulled(self, name: str) -> tuple[int, Any]:
        """Takes a model of the library in."""
        if name not in self.library:
            return 500, {"error": "pull model manifest: file does not exist"}
        self.models.append(f"{name}:latest")
        return 200, {"status": "success"}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    ollama: Ollama

    def respond(self) -> None:
        """Answer, unless a fault is due first: `cut` closes the connection, a number is a status."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        self.ollama.asked.append((f"{self.command} {self.path}", body))
        fault = self.ollama.faults.pop(0) if self.ollama.faults else ""
        if fault == "cut":
            self.close_connection = True
            return
        time.sleep(self.ollama.slow_s)
        status, answer = (int(fault), {"error": "busy"}) if fault else self.ollama.answer(self.path, body)
        data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = respond

    def log_message(self, *args: object) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    """Says nothing of connections that the client gave up."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that timed out is part of the test."""


@contextmanager
def ollama_at_work(port: int = 0) -> Iterator[Ollama]:
    """A server on this machine, on a free port unless told."""
    ollama = Ollama()
    server = Server(("127.0.0.1", port), type("Bound", (Handler,), {"ollama": ollama}))
    ollama.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield ollama
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
