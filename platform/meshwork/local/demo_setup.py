"""What the demo does as the platform's owner, in processes of their own: admin account, parameters, grant, audit."""

import subprocess
import sys

from meshwork.local.stack import Stack
from meshwork.local.visitor import StepFailed


def prepare_demo(running: Stack, *arguments: str) -> str:
    """Run `meshwork demo_setup …` with the platform's environment; returns what it printed."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "meshwork", "demo_setup", *arguments],
        env={**running.environment, "PYTHONSAFEPATH": "1"},
        cwd=running.directory.path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StepFailed(f"Setting up failed ({arguments[0]}): {done.stderr.strip()[-1500:]}")
    return done.stdout
