"""The house's own rules: short files, the standard library's `platform`, no paths of one machine."""

import platform
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 400


def tracked(*patterns: str) -> list[Path]:
    answer = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in answer.stdout.splitlines() if (ROOT / name).exists()]


def test_python_files_stay_under_four_hundred_lines() -> None:
    files = [path for path in tracked("*.py") if "migrations" not in path.parts]
    assert files
    long = {str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text().splitlines())) > LONGEST}
    assert long == {}


def test_the_standard_librarys_platform_stays_importable() -> None:
    assert platform.python_version().startswith("3.")
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert [p.name for p in (ROOT / "platform").iterdir() if p.suffix == ".py"] == []


def test_tests_are_no_packages() -> None:
    assert tracked("tests/**/__init__.py") == []


def test_every_dependency_is_pinned_in_the_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra, names in project["optional-dependencies"].items():
        wanted += names if extra != "torch" else []
    pinned = {
        line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    bare = {"".join(c if c not in "[<>=!~; " else " " for c in name).split()[0].lower() for name in wanted}
    assert {name for name in bare if name.replace("_", "-") not in pinned} == set()


def test_secrets_and_data_are_not_tracked() -> None:
    assert [
        p for p in tracked() if p.suffix in {".key", ".sqlite3", ".onnx", ".safetensors", ".gguf"} or p.name == ".env"
    ] == []
