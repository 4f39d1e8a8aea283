"""A node's settings, probe, identity, state and command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workers.node.platform_double import Platform
from workers.node import identity as identities
from workers.node.config import load_config
from workers.node.errors import ConfigRefused, NotEnrolled, TrustBroken
from workers.node.join import pinned_root
from workers.node.probe import lanes_for, probe
from workers.node.state import NodeState
from workers.protocol.keys import fingerprint


def test_options_overrule_the_environment_which_overrules_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "node.yaml"
    file.write_text("name: from-file\nslots: 2\nlog_level: debug\nengine_address: 10.0.0.1:11434\nmodels: [a, b]\n")
    monkeypatch.setenv("MESH_NODE_SLOTS", "3")
    config = load_config(file, log_level="warn")
    assert (config.name, config.slots, config.log_level) == ("from-file", 3, "warn")
    assert (config.models, config.engine_address) == (["a", "b"], "10.0.0.1:11434")


def test_every_wrong_setting_is_named(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text("slots: 0\nlog_level: loud\ncolour: red\n")
    with pytest.raises(ConfigRefused) as refused:
        load_config(file)
    assert all(name in str(refused.value) for name in ("slots", "log_level", "colour"))


def test_the_pools_own_variable_names_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POOL_URL", "http://pool.example:9090/")
    assert load_config().platform_url == "http://pool.example:9090"


def test_the_probe_reports_this_host_with_measured_speed() -> None:
    report = probe()
    assert report["cpu_cores"] == os.cpu_count()
    assert report["memory_mb"] > 100
    assert report["gflops"] > 0
    assert report["gpu_type"] in {"cpu", "cuda", "apple_metal"}
    assert {"numpy", "onnxruntime"} <= set(report["frameworks"])
    assert not any(isinstance(value, float) for value in report.values())


@pytest.mark.parametrize(("gpu", "lane"), [("cuda", "cuda"), ("apple_metal", "metal"), ("cpu", "cpu")])
def test_the_lane_follows_from_the_gpu(gpu: str, lane: str) -> None:
    assert lanes_for({"gpu_type": gpu}, 3) == {f"inference.{lane}": 3}


def test_private_keys_are_made_once_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    first, again = identities.load_or_make_keys(tmp_path), identities.load_or_make_keys(tmp_path)
    assert first[0].public == again[0].public
    for name in ("signing.key", "sealing.key"):
        assert (tmp_path / "keys" / name).stat().st_mode & 0o777 == 0o600


def test_an_identity_survives_a_restart(tmp_path: Path) -> None:
    with pytest.raises(NotEnrolled):
        identities.load(tmp_path)
    identity = Platform(url="http://localhost:1").identity()
    identities.save(tmp_path, identity)
    assert identities.load(tmp_path) == identity
    assert (tmp_path / "identity.json").stat().st_mode & 0o777 == 0o600


def test_a_platform_without_the_tokens_root_key_is_not_trusted() -> None:
    platform, impostor = Platform(), Platform()
    real = fingerprint(platform.root.public)
    token = f"mwt_{real[:16]}_abc"
    assert pinned_root(token, {"root_fingerprint": real, "key_list": platform.key_list()}) == real
    for network in (
        {"root_fingerprint": fingerprint(impostor.root.public), "key_list": impostor.key_list()},
        {"root_fingerprint": real, "key_list": impostor.key_list()},
        {"root_fingerprint": real},
    ):
        with pytest.raises(TrustBroken):
            pinned_root(token, network)


def test_what_runs_is_remembered_across_processes(tmp_path: Path) -> None:
    state = NodeState(tmp_path)
    state.begin("tsk_1", 2, 77)
    state.cancel(["tsk_1"])
    other = NodeState(tmp_path)
    assert [(r.task, r.attempt, r.pid) for r in other.running()] == [("tsk_1", 2, 77)]
    assert other.is_cancelled("tsk_1")
    other.end("tsk_1")
    assert state.running() == []
    assert not state.is_cancelled("tsk_1")


def mesh(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workers.client.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("node", "run", "--dir", "DIR"), 6),
        (("node", "status", "--dir", "DIR"), 6),
        (("node", "doctor", "--dir", "DIR"), 6),
        (("submit",), 2),
        (("nonsense",), 2),
        (("status", "job_x", "--url", "http://localhost:1"), 5),
        (("node", "join", "http://localhost:1", "--token", "mwt_x_y", "--dir", "DIR"), 5),
        (("verify", "nothing.json"), 2),
    ],
)
def test_exit_codes_tell_what_went_wrong(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    shown = [str(tmp_path) if a == "DIR" else a for a in arguments]
    done = mesh(*shown, XDG_CONFIG_HOME=str(tmp_path))
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_json_goes_to_standard_output_and_words_to_standard_error(tmp_path: Path) -> None:
    done = mesh("node", "doctor", "--dir", str(tmp_path), "--json")
    assert [check["name"] for check in json.loads(done.stdout)] == ["disk", "enrolment"]
