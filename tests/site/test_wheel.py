"""One wheel: without Django it is a node and a command line; with the platform extra it is a site."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MESH_", "DJANGO_", "VIRTUAL_ENV"))
    }
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT, cwd=ROOT)
    return next(folder.glob("*.whl"))


def install(folder: Path, what: str) -> Path:
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--python", python, "-c", ROOT / "constraints.txt", what, cwd=folder)
    return python.parent


def test_the_bare_wheel_is_a_command_line_and_a_node_without_django(wheel: Path, tmp_path: Path) -> None:
    binaries = install(tmp_path, str(wheel))
    absent = run(binaries / "python", "-c", "import importlib.util as u; print(u.find_spec('django'))", cwd=tmp_path)
    assert absent.stdout.strip() == "None"
    assert "node" in run(binaries / "mesh", "--help", cwd=tmp_path).stdout
    probe = json.loads(run(binaries / "mesh", "node", "probe", "--json", cwd=tmp_path).stdout)
    assert probe["gpu_type"] in {"cpu", "cuda", "apple_metal"}
    assert probe["gflops"] > 0
    imports = "import workers.node.agent, workers.node.lane, workers.node.presence, workers.engines"
    run(binaries / "python", "-c", imports, cwd=tmp_path)
    doctor = subprocess.run(
        [binaries / "mesh", "node", "doctor", "--dir", tmp_path / "node", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert doctor.returncode == 6
    assert json.loads(doctor.stdout)[1]["next_step"]


def test_the_platform_extra_makes_it_a_site_with_its_templates_and_static_files(wheel: Path, tmp_path: Path) -> None:
    binaries = install(tmp_path, f"{wheel}[platform]")
    settings = {name: value for name, value in os.environ.items() if name.startswith("MESH_")}
    assert "no issues" in run(binaries / "meshwork", "check", cwd=tmp_path, **settings).stdout
    find = "from django.template.loader import get_template as t; print(t('base.html').template.origin)"
    origin = run(binaries / "meshwork", "shell", "--no-imports", "-c", find, cwd=tmp_path, **settings).stdout
    assert "site-packages" in origin
    css = run(binaries / "meshwork", "findstatic", "app.css", cwd=tmp_path, **settings).stdout
    assert "site-packages" in css
