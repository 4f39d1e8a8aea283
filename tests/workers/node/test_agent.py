"""The agent as its own process, with its lane: limits are obeyed and told, health is true, new keys are taken up."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.workers.node.platform_double import NET, NODE, Platform, platform_at_work
from workers.node import identity as identities
from workers.node.identity import load_or_make_keys
from workers.protocol.clock import unix_ms, utcnow
from workers.protocol.envelope import sign_envelope, unverified_payload


@pytest.fixture
def platform() -> Iterator[Platform]:
    with platform_at_work() as running:
        yield running


def until(done: Callable[[], Any], seconds: float = 25.0) -> Any:
    """Wait for something that happens in the agent."""
    end = time.monotonic() + seconds
    while not (value := done()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return value


class Running:
    """A node's agent on this machine."""

    def __init__(self, platform: Platform, home: Path) -> None:
        self.platform, self.home = platform, home
        identities.save(home, platform.identity())
        self.key, _ = load_or_make_keys(home)
        self.answer()
        platform.answers["/claim"] = (200, {"tasks": []})
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [*self.command("run"), "--transport", "http", "--health", str(self.port), "--log-level", "error"],
            env={**os.environ, "MESH_NODE_MODELS": "[]"},
            stderr=subprocess.DEVNULL,
        )

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "workers.client.cli", "node", *words, "--dir", str(self.home)]

    def mesh(self, *words: str) -> None:
        subprocess.run(self.command(*words), check=True, capture_output=True)

    def answer(self, **more: Any) -> None:
        """What the platform answers to heartbeats."""
        body = {"time": unix_ms(utcnow()), "pending": 0, "cancel": [], "drain": False, "key_list_version": 1}
        raw = sign_envelope(
            "platform.heartbeat", {**body, "heartbeat_s": 1, **more}, key=self.platform.signing, net=NET,
            sender="platform", to=NODE, now=utcnow(),
        )  # fmt: skip
        self.platform.answers["/heartbeat"] = (200, raw)

    def said(self, path: str) -> list[dict[str, Any]]:
        """What the agent has posted there, as its envelopes' payloads."""
        return [unverified_payload(body) for where, body in list(self.platform.received) if where == path]

    def last_beat(self) -> dict[str, Any]:
        beats = self.said("/heartbeat")
        return dict(beats[-1]["body"]) if beats else {}

    def health(self) -> dict[str, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return dict(json.loads(connection.getresponse().read()))
        except OSError:
            return {}
        finally:
            connection.close()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture
def agent(platform: Platform, tmp_path: Path) -> Iterator[Running]:
    running = Running(platform, tmp_path)
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait(10)


def test_limits_from_command_and_page_are_obeyed_told_and_lifted(agent: Running) -> None:
    until(lambda: agent.said("/claim"))
    assert agent.last_beat()["draining"] is False
    assert agent.last_beat()["transport"] == "http"
    agent.mesh("pause")
    until(lambda: agent.last_beat()["held"] == ["paused"])
    assert agent.last_beat()["draining"] is True
    assert set(agent.last_beat()["slots"].values()) == {0}
    shown = until(lambda: [r for r in agent.health().get("reasons", []) if r["code"] == "paused"])
    assert shown[0]["next_step"]
    claims = len(agent.said("/claim"))
    time.sleep(2.5)
    assert len(agent.said("/claim")) <= claims + 1
    agent.mesh("resume")
    until(lambda: agent.last_beat()["held"] == [])
    until(lambda: len(agent.said("/claim")) > claims + 1)
    agent.answer(limits={"quiet_hours": ["00:00-24:00"], "time_zone": "UTC", "at": 5})
    until(lambda: agent.last_beat()["held"] == ["quiet_hours"])
    agent.answer(limits={"at": 6})
    until(lambda: agent.last_beat()["held"] == [])
    assert agent.stop() == 0
    assert agent.last_beat()["draining"] is True


def test_new_keys_are_taken_up_by_the_running_agent(agent: Running) -> None:
    until(lambda: agent.said("/claim"))
    account = asdict(agent.platform.identity().broker)
    agent.platform.answers["/rotate"] = (
        200,
        sign_envelope(
            "platform.rotated", {"node_id": NODE, "broker": account}, key=agent.platform.signing, net=NET,
            sender="platform", to=NODE, now=utcnow(),
        ),
    )  # fmt: skip
    agent.mesh("rotate-keys")
    fresh, _ = load_or_make_keys(agent.home)
    assert fresh.kid != agent.key.kid
    until(lambda: agent.said("/heartbeat")[-1]["kid"] == fresh.kid)
    until(lambda: agent.said("/claim")[-1]["kid"] == fresh.kid)
    assert agent.health()["node"] == NODE
    assert agent.stop() == 0
