"""Installing a node from the site: every file can be read and checked, and the way by uv is walked for real."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from html import unescape
from io import BytesIO, StringIO
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import yaml
from django.test import Client

from apps.operators import installing
from apps.operators import wheel as packing
from tests.site.test_wheel import UV, run, wheel

__all__ = ["wheel"]
pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]
PUBLIC = "https://mesh.example.org"
# The keys of a service in the Compose specification that these files use, with the types that it allows for them.
SERVICE: dict[str, tuple[type, ...]] = {
    "image": (str,), "restart": (str,), "init": (bool,), "environment": (dict, list), "volumes": (list,),
    "network_mode": (str,), "build": (str, dict), "command": (str, list), "ports": (list,), "healthcheck": (dict,),
    "depends_on": (list, dict), "stop_grace_period": (str,), "deploy": (dict,),
}  # fmt: skip
HEALTHCHECK = {"test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"}
BUILD = {"dockerfile_inline", "network", "context", "dockerfile", "args"}


@pytest.fixture
def public(settings: Any) -> None:
    settings.SITE_URL = PUBLIC


def text_of(client: Client, name: str) -> str:
    response = client.get(f"/install/{name}")
    assert response.status_code == 200, name
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    return response.content.decode()


def served_wheel(client: Client) -> tuple[str, bytes]:
    name = packing.current().name
    return name, b"".join(client.get(f"/install/{name}").streaming_content)  # type: ignore[attr-defined]


def test_every_file_is_plain_text_and_has_the_sum_that_the_page_shows(client: Client) -> None:
    page = client.get("/install").content.decode()
    for name in installing.DOCUMENTS:
        assert sha256(text_of(client, name).encode()).hexdigest() in page, name
    name, content = served_wheel(client)
    assert sha256(content).hexdigest() in page
    assert name in page


def test_the_sums_are_what_sha256sum_reads(client: Client, tmp_path: Path) -> None:
    for name in installing.DOCUMENTS:
        (tmp_path / name).write_text(text_of(client, name))
    name, content = served_wheel(client)
    (tmp_path / name).write_bytes(content)
    (tmp_path / "SHA256SUMS").write_text(text_of(client, "SHA256SUMS"))
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.count(": OK")) == (0, len(installing.DOCUMENTS) + 1)
    (tmp_path / "install.sh").write_text("echo owned\n")
    again = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path, capture_output=True, check=False)
    assert again.returncode == 1


@pytest.mark.parametrize(
    "name", ["passwd", "..%2f..%2fetc%2fpasswd", "meshwork-0.0.0-py3-none-any.whl", "node.yaml.bak"]
)
def test_nothing_else_is_served(client: Client, name: str) -> None:
    assert client.get(f"/install/{name}").status_code == 404


def test_the_operators_guide_is_served_beside_them(client: Client) -> None:
    assert text_of(client, "operators.md") == (ROOT / "docs" / "operators.md").read_text()
    assert "/install/operators.md" in client.get("/install").content.decode()


def test_the_same_code_is_always_the_same_wheel(client: Client) -> None:
    _, content = served_wheel(client)
    packing._packed.cache_clear()
    assert served_wheel(client)[1] == content


def test_a_crowd_that_asks_at_once_gets_one_wheel(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    packing._packed.cache_clear()
    together = Barrier(8)

    def ask(_: int) -> Path:
        together.wait()
        return packing.current().path

    with ThreadPoolExecutor(8) as crowd:
        assert len(set(crowd.map(ask, range(8)))) == 1
    packing._packed.cache_clear()
    assert len(list((tmp_path / "wheels").glob("*/*"))) == 1


def test_the_wheel_is_the_one_that_the_build_makes(client: Client, wheel: Path) -> None:
    mine, theirs = zipfile.ZipFile(BytesIO(served_wheel(client)[1])), zipfile.ZipFile(wheel)
    names = {name for name in mine.namelist() if tracked(name)}
    assert names == {name for name in theirs.namelist() if tracked(name)}
    for name in sorted(names):
        if name.endswith("METADATA"):
            # Its description is the README as it was when this checkout was installed.
            assert mine.read(name).partition(b"\n\n")[0] == theirs.read(name).partition(b"\n\n")[0]
        elif not name.endswith(("RECORD", "WHEEL")):
            assert mine.read(name) == theirs.read(name), name
    for name, digest, size in csv.reader(StringIO(mine.read("meshwork-0.1.0.dist-info/RECORD").decode())):
        assert name.endswith("RECORD") or (digest.startswith("sha256="), int(size)) == (True, len(mine.read(name)))


def tracked(name: str) -> bool:
    """The build takes what git would; another test's or editor's leavings are no part of the question."""
    kinds = (".py", ".md", ".html", ".css", ".js", ".lock", ".yaml", ".sh", ".service")
    return ".dist-info/" in name or name.endswith(kinds)


def compose(client: Client, name: str = "compose.yaml") -> dict[str, Any]:
    found = yaml.safe_load(text_of(client, name))
    assert set(found) <= {"name", "services", "volumes"} | {key for key in found if key.startswith("x-")}
    return dict(found)


def check_service(service: dict[str, Any]) -> None:
    """The service's shape, as the Compose specification has it."""
    for key, value in service.items():
        assert key in SERVICE, key
        assert isinstance(value, SERVICE[key]), key
    assert set(service.get("healthcheck", {})) <= HEALTHCHECK
    assert set(service.get("build", {})) <= BUILD
    # The specification refuses ports beside the machine's own network.
    assert not ({"ports", "network_mode"} <= set(service))


@pytest.mark.parametrize("site", [PUBLIC, "http://localhost:8000"])
def test_compose_has_the_two_services_and_the_node_waits_for_the_other(
    client: Client, settings: Any, site: str
) -> None:
    settings.SITE_URL = site
    found = compose(client)
    node, server = found["services"]["node"], found["services"]["model-server"]
    assert set(found["services"]) == {"node", "model-server"}
    for service in (node, server):
        check_service(service)
        assert service["volumes"] == ["data:/data"]
        assert service["image"] == "meshwork-node:0.1.0"
    assert node["depends_on"] == {"model-server": {"condition": "service_healthy"}}
    assert "50051/health" in server["healthcheck"]["test"][-1]
    assert "3000/health" in node["healthcheck"]["test"][-1]
    assert list(found["volumes"]) == ["data"]
    if site == PUBLIC:
        assert (node["ports"], server["ports"]) == (["127.0.0.1:3000:3000"], ["127.0.0.1:50051:50051"])
        assert node["command"][-1] == "0.0.0.0:3000"
    else:
        assert (node["network_mode"], node["command"][-1]) == ("host", "127.0.0.1:3000")
    dockerfile = server["build"]["dockerfile_inline"]
    assert f"--checksum=sha256:{packing.current().sha256} {site}/install/" in dockerfile
    assert {line.split()[0] for line in dockerfile.splitlines()} <= {
        "FROM",
        "RUN",
        "ADD",
        "USER",
        "VOLUME",
        "ENTRYPOINT",
    }
    assert "USER mesh" in dockerfile


def test_the_commands_of_compose_are_commands_of_mesh(client: Client, public: None) -> None:
    for service in compose(client)["services"].values():
        known = [word for word in service["command"] if not word.startswith(("-", "0.", "127."))]
        options = [word for word in service["command"] if word.startswith("--")]
        shown = subprocess.run(
            [Path(sys.executable).with_name("mesh"), *known, "--help"], capture_output=True, text=True, check=True,
            env={**os.environ, "COLUMNS": "200"},
        ).stdout  # fmt: skip
        assert all(option in shown for option in options)


def test_a_gpu_is_reserved_for_both_services_by_the_second_file(client: Client, public: None) -> None:
    found = compose(client, "compose.nvidia.yaml")
    for service in found["services"].values():
        check_service(service)
        [device] = service["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert set(found["services"]) == set(compose(client)["services"])


def test_compose_is_run_where_there_is_an_engine(client: Client, public: None, tmp_path: Path) -> None:
    docker = shutil.which("docker")
    there = docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    if not there:
        pytest.skip("docker compose is not here: the files are checked by their structure alone, and were not run")
    for name in ("compose.yaml", "compose.nvidia.yaml"):
        (tmp_path / name).write_text(text_of(client, name))
    files = ["-f", "compose.yaml", "-f", "compose.nvidia.yaml"]
    done = subprocess.run(
        [str(docker), "compose", *files, "config", "--quiet"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_unit_is_one_that_systemd_takes(client: Client, public: None, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here")
    text = text_of(client, "meshwork-node.service")
    assert "ExecStart=/opt/meshwork/bin/mesh node run" in text
    unit = tmp_path / "meshwork-node.service"
    mesh = Path(sys.executable).with_name("mesh")
    unit.write_text(text.replace("/opt/meshwork/bin/mesh", str(mesh)))
    done = subprocess.run([analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "meshwork-node" in line]
    assert complaints == []
    unit.write_text(text.replace("Restart=always", "Restart=sometimes"))
    assert "Failed to parse service" in subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    ).stderr  # fmt: skip


def test_the_settings_file_is_one_that_the_agent_reads(client: Client, public: None, tmp_path: Path) -> None:
    from workers.node.config import NodeConfig, load_config

    text = text_of(client, "node.yaml")
    file = tmp_path / "node.yaml"
    file.write_text(text)
    load_config(file)
    lines = [line[2:].split("#")[0] for line in text.splitlines() if line.startswith("# ") and ": " in line[:20]]
    file.write_text("\n".join(lines))
    shown = load_config(file)
    documented = {line.split(":")[0] for line in lines}
    assert set(NodeConfig.model_fields) - documented == {"directory"}
    defaults = NodeConfig()
    for name in documented - {"name", "platform_url"}:
        assert getattr(shown, name) == getattr(defaults, name), name


def outside(folder: Path) -> dict[str, str]:
    """An environment in which only uv is known, and installs below `folder`."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MESH_", "DJANGO_", "VIRTUAL_ENV"))
    }
    tools = folder / "path"
    tools.mkdir()
    (tools / "uv").symlink_to(UV)
    return {
        **kept,
        "PATH": f"{tools}:/usr/bin:/bin",
        "UV_TOOL_DIR": str(folder / "tools"),
        "UV_TOOL_BIN_DIR": str(folder / "bin"),
        "UV_CONSTRAINT": str(ROOT / "constraints.txt"),
        "UV_PYTHON": sys.executable,
        "no_proxy": "localhost,127.0.0.1",
        "NO_PROXY": "localhost,127.0.0.1",
    }


@pytest.mark.django_db(transaction=True)
def test_the_script_installs_from_the_site_and_refuses_another_wheel(
    live_server: Any, settings: Any, client: Client, tmp_path: Path
) -> None:
    settings.SITE_URL = live_server.url
    script = tmp_path / "install.sh"
    text = text_of(client, "install.sh")
    environment = outside(tmp_path)
    script.write_text(text.replace(packing.current().sha256, "0" * 64))
    refused = subprocess.run(["sh", script], capture_output=True, text=True, check=False, env=environment)
    assert refused.returncode == 1
    assert "SHA-256" in refused.stderr
    assert not (tmp_path / "bin").exists()
    script.write_text(text)
    done = subprocess.run(["sh", script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "mesh 0.1.0" in done.stdout
    mesh = tmp_path / "bin" / "mesh"
    assert run(mesh, "--version", cwd=tmp_path).stdout == "mesh 0.1.0\n"
    assert json.loads(run(mesh, "node", "probe", "--json", cwd=tmp_path).stdout)["gflops"] > 0
    wrong = subprocess.run(["sh", script, "--tokn"], capture_output=True, text=True, check=False, env=environment)
    assert (wrong.returncode, "unknown option" in wrong.stderr) == (2, True)


@pytest.mark.django_db(transaction=True)
def test_the_block_for_uv_installs_a_wheel_with_the_right_sum_and_no_other(
    live_server: Any, settings: Any, client: Client, tmp_path: Path
) -> None:
    settings.SITE_URL = live_server.url
    page = unescape(client.get("/install").content.decode())
    block = re.search(r"<pre[^>]*>(curl [^<]*uv tool install[^<]*)</pre>", page)
    assert block
    commands, joining = block[1].rsplit("\n", 1)
    assert joining.startswith("mesh node join")
    environment, digest = outside(tmp_path), packing.current().sha256
    wrong, right = (
        subprocess.run(["sh", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
        for text in (commands.replace(digest, "0" * 64), commands)
    )
    assert (wrong.returncode, "FAILED" in wrong.stdout) == (1, True)
    assert right.returncode == 0, right.stderr
    assert run(tmp_path / "bin" / "mesh", "--version", cwd=tmp_path).stdout == "mesh 0.1.0\n"
