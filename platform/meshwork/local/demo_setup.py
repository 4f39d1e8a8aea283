"""The owner's part of the demo, in processes of their own: admin account, parameters, training, replay."""

import subprocess
import sys

from meshwork.local.stack import Stack
from meshwork.local.visitor import StepFailed


def as_owner(running: Stack, *arguments: str) -> str:
    """Run `meshwork …` with the platform's environment; returns what it printed. Raises StepFailed."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "meshwork", *arguments],
        env={**running.environment, "PYTHONSAFEPATH": "1"},
        cwd=running.directory.path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StepFailed(f"`meshwork {' '.join(arguments)}` failed: {done.stderr.strip()[-1500:]}")
    return done.stdout


def prepare_demo(running: Stack, *arguments: str) -> str:
    """Run `meshwork demo_setup …`."""
    return as_owner(running, "demo_setup", *arguments)
