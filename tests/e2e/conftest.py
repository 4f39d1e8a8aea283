"""A whole network, started by the demo's own command in a directory of its own; its scenario has been played."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from meshwork.local.demo_cast import PASSWORD
from meshwork.local.directory import running_environment

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_S = 420


@dataclass
class Network:
    """The running demo: its addresses, its directory, and the JSON line that it printed."""

    site: str
    node_api: str
    directory: Path
    facts: dict[str, Any]
    environment: dict[str, str]
    pid: int


def outside(**more: str) -> dict[str, str]:
    """This environment without anything of the test session's own services."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("MESH_", "DJANGO_", "PYTEST_"))}
    return {**kept, **more}


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    directory = Path(tempfile.mkdtemp(prefix="meshwork-e2e-"))
    with (directory.parent / f"{directory.name}.log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "meshwork.local", "demo"],
            env=outside(MESH_DATA_DIR=str(directory)),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            line = process.stdout.readline() if process.stdout else ""
            log.seek(0)
            assert line, f"The demo ended without its line:\n{log.read()[-3000:]}"
            environment = running_environment(directory) or {}
            yield Network(
                site=environment["MESH_SITE_URL"],
                node_api=environment["MESH_NODE_API_URL"],
                directory=directory,
                facts=json.loads(line),
                environment=outside(),
                pid=process.pid,
            )
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
            if process.stdout:
                process.stdout.close()
            shutil.rmtree(directory, ignore_errors=True)
            Path(log.name).unlink(missing_ok=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


class Person:
    """Somebody at a browser, whose console must stay clean."""

    def __init__(self, browser: Browser, network: Network, **context: Any) -> None:
        self.context = browser.new_context(base_url=network.site, **context)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.faults: list[str] = []
        self.page.on("console", lambda m: self.faults.append(m.text) if m.type in {"error", "warning"} else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    def sign_up(self, email: str, name: str) -> None:
        self.page.goto("/accounts/signup/")
        self.page.fill("[name=email]", email)
        self.page.fill("[name=name]", name)
        self.page.fill("[name=password1]", PASSWORD)
        self.page.fill("[name=password2]", PASSWORD)
        self.page.locator("form:has([name=password2]) button[type=submit]").click()
        self.page.wait_for_url(lambda url: "/accounts/signup" not in url)

    def log_in(self, email: str) -> None:
        self.page.goto("/accounts/login/")
        self.page.fill("[name=login]", email)
        self.page.fill("[name=password]", PASSWORD)
        self.page.locator("form:has([name=password]) button[type=submit]").first.click()
        self.page.wait_for_url(lambda url: "/accounts/login" not in url)

    def close(self) -> None:
        self.context.close()
