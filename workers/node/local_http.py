"""A small HTTP server for the machine's own eyes: health checks and metrics. On the loopback unless told otherwise."""

import json
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from workers.node.errors import ListenRefused

LOOPBACK = "127.0.0.1"
JSON, METRICS = "application/json", "text/plain; version=0.0.4; charset=utf-8"


class Answer:
    """What a route answers: text, its type, an HTTP status."""

    def __init__(self, text: str, kind: str, status: int = HTTPStatus.OK) -> None:
        self.body = text.encode()
        self.kind = kind
        self.status = status


Route = Callable[[], Answer]


def as_json(body: Mapping[str, Any], status: int = HTTPStatus.OK) -> Answer:
    """An answer in JSON."""
    return Answer(json.dumps(body, indent=1) + "\n", JSON, status)


def address_of(text: str) -> tuple[str, int]:
    """(host, port) of `host:port`, or of a port alone on the loopback. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) < 2**16 or (colon and not host):
        raise ValueError(f"{text!r} is no address such as 127.0.0.1:3000.")
    return host.strip("[]") or LOOPBACK, int(port)


class LocalHttp:
    """Serves GET routes on threads of its own until stopped; `port` is the one it got."""

    def __init__(self, address: str, routes: Mapping[str, Route]) -> None:
        """Raises ListenRefused where the address is taken or not this machine's."""
        try:
            self._server = ThreadingHTTPServer(address_of(address), handler_for(routes))
        except OSError as error:
            raise ListenRefused(f"{address} cannot be listened on: {error}") from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="local-http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer nothing more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def handler_for(routes: Mapping[str, Route]) -> type[BaseHTTPRequestHandler]:
    """A handler that knows these addresses."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10
        server_version = "mesh"
        sys_version = ""

        def do_GET(self) -> None:
            route = routes.get(self.path.partition("?")[0])
            self.give(route() if route else as_json({"code": "not_found", "routes": sorted(routes)}, 404))

        do_HEAD = do_GET

        def give(self, answer: Answer) -> None:
            """Send it."""
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        def log_message(self, *_: Any) -> None:
            """Health checks come every few seconds; the agent's log is for the node's work."""

    return Handler
