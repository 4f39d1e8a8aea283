"""Who plays in the demo, and how they reach the network: through its pages and its command line, as anybody would."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshwork.local.visitor import Page, StepFailed, Visitor

PASSWORD = "try-it-yourself-1"  # noqa: S105  A login of a network that only this machine can reach.
ADMIN = "admin@demo.meshwork.test"
REQUESTER = "rita@demo.meshwork.test"
MESH = (sys.executable, "-m", "workers.client.cli")


@dataclass(frozen=True)
class Operator:
    """One operator of the local testnet and the node they run."""

    name: str
    tier: str
    region: str

    @property
    def email(self) -> str:
        """Their login."""
        return f"{self.name}@demo.meshwork.test"

    @property
    def node(self) -> str:
        """Their node's name."""
        return f"{self.name}-1"


OPERATORS = (
    Operator("ana", "ORACLE", "eu-central"),
    Operator("ben", "ORACLE", "eu-west"),
    Operator("chen", "ORACLE", "ap-south"),
    Operator("dora", "ORACLE", "us-east"),
    Operator("emil", "ORACLE", "us-west"),
    Operator("fay", "GUARDIAN", "eu-central"),
)
REJECTED = Operator("gus", "ALL", "sa-east")
REJECTION = "The stated memory is below the tier's requirement. Apply again with a larger host."


def session(site: str, email: str, name: str) -> Visitor:
    """A signed-in visitor: signs in, or signs up where there is no such account yet."""
    visitor = Visitor(site)
    try:
        visitor.log_in(email, PASSWORD)
    except StepFailed:
        visitor.sign_up(email, PASSWORD, name)
    return visitor


def mesh(
    *arguments: str, environment: Mapping[str, str], timeout_s: float = 120.0, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run the command line the way a person would; raises StepFailed with its words."""
    done = subprocess.run(  # noqa: S603
        [*MESH, *arguments],
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if check and done.returncode:
        shown = " ".join("…" if argument.startswith("mwt_") else argument for argument in arguments)
        raise StepFailed(f"`mesh {shown}` ended with {done.returncode}: {done.stderr.strip()[-600:]}")
    return done


def mesh_json(*arguments: str, environment: Mapping[str, str], timeout_s: float = 120.0) -> Any:
    """The JSON that a command prints."""
    return json.loads(mesh(*arguments, environment=environment, timeout_s=timeout_s).stdout)


def apply(visitor: Visitor, operator: Operator, probe: Mapping[str, Any]) -> None:
    """Fill in the application with what this host's probe measured."""
    page = visitor.get("/apply")
    visitor.send(
        page,
        "tier",
        tier=operator.tier,
        region=operator.region,
        gpu_type=probe["gpu_type"],
        gpu_model=probe["gpu_name"] or "none",
        gpu_memory_gb=str(probe["gpu_memory_mb"] // 1024),
        cpu_cores=str(probe["cpu_cores"]),
        memory_gb=str(probe["memory_gb"]),
        operating_system="Debian 12",
        bandwidth_mbps="100",
        experience="Runs a node of the local testnet.",
        agree="on",
    )


def review(admin: Visitor, names: list[str], *, approve: bool, reason: str = "") -> None:
    """In the admin: choose applications of these people and approve them together, or reject with a reason."""
    queue = admin.get("/admin/operators/application/")
    chosen = [application_of(queue, name) for name in names]
    action = "approve_selected" if approve else "reject_selected"
    answer = admin.send(queue, "_selected_action", action=action, _selected_action=chosen, index="0")
    if not approve:
        admin.send(answer, "reason", reason=reason, criterion="other")


def application_of(queue: Page, email: str) -> str:
    """The id of a person's application in the admin's list."""
    for row in re.split(r"<tr\b", queue.html):
        found = re.search(
            r'name="_selected_action"[^>]*value="([^"]+)"|value="([^"]+)"[^>]*name="_selected_action"', row
        )
        if found and email in row:
            return found.group(1) or found.group(2)
    raise StepFailed(f"The review queue does not list {email}.")


def lock_stake(visitor: Visitor) -> None:
    """Lock the tier's stake with the button of the next step."""
    visitor.send(visitor.get("/apply"), "stake")


def enrol(visitor: Visitor, operator: Operator, site: str, directory: Path, environment: Mapping[str, str]) -> None:
    """Make a one-use token on the site and join with it on the command line."""
    page = visitor.send(visitor.get("/nodes/register"), "name", name=operator.node)
    token = page.find(r"(mwt_[0-9a-f]+_[0-9a-zA-Z]+)")
    mesh(
        "node",
        "join",
        site,
        "--token",
        token,
        "--name",
        operator.node,
        "--dir",
        str(directory),
        environment=environment,
    )


def requester_environment(base: Mapping[str, str], home: Path, site: str) -> dict[str, str]:
    """The requester's own settings folder, so that nobody's real one is touched."""
    return {**base, "XDG_CONFIG_HOME": str(home), "MESH_URL": site, "MESH_PASSWORD": PASSWORD, "NO_COLOR": "1"}


def wait_for(what: str, check: Any, timeout_s: float, pause_s: float = 0.25) -> Any:
    """Poll until `check()` is truthy; raises StepFailed with what was waited for."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = check()
        if value:
            return value
        time.sleep(pause_s)
    raise StepFailed(f"Waited {timeout_s:g} s in vain for {what}.")


def tidy(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for other programs: nothing of the platform's."""
    return {name: value for name, value in environment.items() if not name.startswith("MESH_")} | {
        "PATH": os.environ["PATH"]
    }
