"""The Python client of the platform's REST API."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from uuid import uuid4

import httpx

from workers.client.errors import NotLoggedIn, Refused, TimedOut, Unreachable

FINAL = {"COMPLETED", "FAILED", "CANCELLED"}


class MeshClient:
    """Talks to one network's site with one API key.

    >>> with MeshClient("http://localhost:8000", key) as mesh:
    ...     job = mesh.embed("all-MiniLM-L6-v2", ["a text"])
    ...     vectors = mesh.wait(job["id"])["vectors"]
    """

    def __init__(self, url: str, key: str | None = None, *, timeout_s: float = 30.0) -> None:
        self.key = key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.http.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request; raises Refused, NotLoggedIn or Unreachable."""
        try:
            response = self.http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise Unreachable(f"{self.http.base_url} did not answer: {error}") from error
        if response.status_code < 400:
            return response
        try:
            problem = response.json()
        except ValueError:
            problem = {}
        if response.status_code == 401 and not self.key:
            raise NotLoggedIn(NotLoggedIn.__doc__)
        raise Refused(response.status_code, problem if isinstance(problem, dict) else {})

    def download(self, path: str, target: Path) -> None:
        """GET into a file, piece by piece; raises Refused or Unreachable, with no file left."""
        half = target.with_name(f"{target.name}.part")
        try:
            with self.http.stream("GET", path) as response, half.open("wb") as file:
                if response.status_code >= 400:
                    response.read()
                    raise Refused(response.status_code, response.json())
                for piece in response.iter_bytes():
                    file.write(piece)
            half.replace(target)
        except (httpx.HTTPError, ValueError) as error:
            raise Unreachable(f"{self.http.base_url} did not answer: {error}") from error
        finally:
            half.unlink(missing_ok=True)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """GET as JSON."""
        return cast(dict[str, Any], self.request("GET", path, params=params).json())

    def post(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        """POST JSON, read JSON."""
        response = self.request("POST", path, json=body, headers=headers or {})
        return cast(dict[str, Any], response.json()) if response.content else {}

    def login(self, email: str, password: str, name: str) -> dict[str, Any]:
        """Make an API key by e-mail and password; the key is in the answer and is shown this once."""
        return self.post("/api/v1/auth/login", {"email": email, "password": password, "name": name})

    def me(self) -> dict[str, Any]:
        """The account, its balance and its operator."""
        return self.get("/api/v1/me")

    def models(self) -> list[dict[str, Any]]:
        """The catalogue."""
        return cast(list[dict[str, Any]], self.get("/api/v1/models")["results"])

    def quote(self, body: dict[str, Any]) -> dict[str, Any]:
        """Price and feasibility of a job, before anything is held."""
        return self.post("/api/v1/jobs/quote", body)

    def submit(self, body: dict[str, Any], *, idempotency_key: str | None = None) -> dict[str, Any]:
        """Submit a job; the same idempotency key submits it once."""
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        return self.post("/api/v1/jobs", body, headers)

    def embed(self, model: str, inputs: list[str], **more: Any) -> dict[str, Any]:
        """Submit an embedding job."""
        return self.submit({"kind": "embed", "model": model, "inputs": inputs, **more})

    def generate(self, model: str, prompt: str, **more: Any) -> dict[str, Any]:
        """Submit a generation job."""
        return self.submit({"kind": "generate", "model": model, "prompt": prompt, **more})

    def job(self, job_id: str) -> dict[str, Any]:
        """A job's state and progress."""
        return self.get(f"/api/v1/jobs/{job_id}")

    def jobs(self, **params: Any) -> list[dict[str, Any]]:
        """The newest jobs."""
        return cast(list[dict[str, Any]], self.get("/api/v1/jobs", **params)["results"])

    def tasks(self, job_id: str) -> list[dict[str, Any]]:
        """All chunks of a job, following the pages."""
        path, found = f"/api/v1/jobs/{job_id}/tasks", []
        while path:
            page = self.get(path)
            found += page["results"]
            path = page.get("next") or ""
        return found

    def result(self, job_id: str) -> dict[str, Any]:
        """The joined result of a finished job."""
        return self.get(f"/api/v1/jobs/{job_id}/result")

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Take back the chunks that nobody has started."""
        return self.post(f"/api/v1/jobs/{job_id}/cancel", {})

    def receipt(self, job_id: str) -> dict[str, Any]:
        """The signed receipt, once the job's transfers are sealed in blocks."""
        return self.get(f"/api/v1/jobs/{job_id}/receipt")

    def wait(
        self, job_id: str, *, timeout_s: float = 300.0, on_change: Callable[[dict[str, Any]], None] | None = None
    ) -> dict[str, Any]:
        """Poll until the job is final, then return its result. Raises TimedOut, or Refused for a failed job."""
        self.wait_final(job_id, timeout_s=timeout_s, on_change=on_change)
        return self.result(job_id)

    def wait_final(
        self, job_id: str, *, timeout_s: float = 300.0, on_change: Callable[[dict[str, Any]], None] | None = None
    ) -> dict[str, Any]:
        """Poll until the job is COMPLETED, FAILED or CANCELLED; returns it."""
        end, pause = time.monotonic() + timeout_s, 0.1
        while True:
            job = self.job(job_id)
            if on_change:
                on_change(job)
            if job["status"] in FINAL:
                return job
            if time.monotonic() > end:
                raise TimedOut(TimedOut.__doc__)
            time.sleep(pause)
            pause = min(pause * 1.3, 1.0)
