"""The node's side of the node API: every POST is a signed envelope, every refusal carries a stable code."""

from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, cast

import httpx

from workers.node.errors import PlatformRefused, PlatformUnreachable
from workers.node.identity import Identity
from workers.protocol.clock import utcnow
from workers.protocol.envelope import sign_envelope
from workers.protocol.keys import SigningKey

PLATFORM = "platform"
TIMEOUT = httpx.Timeout(20.0, connect=5.0)


def answer_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON of a good answer; raises PlatformRefused with the problem's code otherwise."""
    try:
        body = response.json()
    except ValueError:
        body = {}
    if response.status_code >= 400:
        code = body.get("code", f"http_{response.status_code}") if isinstance(body, dict) else "http_error"
        detail = body.get("detail", response.reason_phrase) if isinstance(body, dict) else response.reason_phrase
        raise PlatformRefused(response.status_code, str(code), str(detail))
    return cast(dict[str, Any], body)


class NodeApi:
    """A keep-alive connection to the node API, signing with the node's key."""

    def __init__(self, identity: Identity, key: SigningKey) -> None:
        self.identity = identity
        self.key = key
        self.http = httpx.Client(base_url=f"{identity.node_api}/api/v1/pool", timeout=TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    def envelope(self, kind: str, body: dict[str, Any], now: datetime) -> dict[str, Any]:
        """A signed message from this node to the platform."""
        return sign_envelope(
            kind, body, key=self.key, net=self.identity.network, sender=self.identity.node_id, to=PLATFORM, now=now
        )

    def send(self, path: str, body: dict[str, Any], *, timeout: float | None = None) -> dict[str, Any]:
        """POST a body that is already signed."""
        try:
            limit = TIMEOUT if timeout is None else httpx.Timeout(timeout, connect=5.0)
            return answer_of(self.http.post(path, json=body, timeout=limit))
        except httpx.HTTPError as error:
            raise PlatformUnreachable(f"{self.identity.node_api} did not answer: {error}") from error

    def post(self, kind: str, path: str, body: dict[str, Any], *, timeout: float | None = None) -> dict[str, Any]:
        """Sign and POST."""
        return self.send(path, self.envelope(kind, body, utcnow()), timeout=timeout)

    def heartbeat(self, body: dict[str, Any]) -> dict[str, Any]:
        """Tell load, free slots and running tasks; the answer carries cancellations and the drain flag."""
        return self.post("node.heartbeat", "/heartbeat", body)

    def started(self, task: str, attempt: int) -> dict[str, Any]:
        """Say that the attempt runs; refused if it was taken back meanwhile."""
        return self.post("task.started", f"/tasks/{task}/started", {"task": task, "attempt": attempt})

    def hand_back(self, task: str, attempt: int, reason: str) -> dict[str, Any]:
        """Return an attempt that this node cannot finish."""
        body = {"task": task, "attempt": attempt, "reason": reason}
        return self.post("task.handback", "/handback", body)

    def claim(self, lane: str, most: int, wait_s: float) -> list[dict[str, Any]]:
        """Long-poll for work; returns sealed task envelopes."""
        answer = self.post("task.claim", f"/claim?wait={wait_s:g}", {"lane": lane, "max": most}, timeout=wait_s + 10)
        return cast(list[dict[str, Any]], answer.get("tasks", []))

    def public(self, node_id: str) -> dict[str, Any]:
        """What the platform says of a node in public."""
        try:
            return answer_of(self.http.get(f"/nodes/{node_id}"))
        except httpx.HTTPError as error:
            raise PlatformUnreachable(f"{self.identity.node_api} did not answer: {error}") from error

    def result(self, task: str, body: dict[str, Any]) -> dict[str, Any]:
        """Post a result: `{"envelope", "sealed"}`."""
        return self.send(f"/results/{task}", body)

    def results(self, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Post many results; for each, in order, `{"status"}` or the `{"code", "detail"}` of its refusal."""
        return cast(list[dict[str, Any]], self.send("/results", {"results": list(bodies)}).get("results", []))
