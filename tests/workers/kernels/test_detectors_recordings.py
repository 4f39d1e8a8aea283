"""The recordings are what they say they are, and say where they come from."""

import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.false_alarms import RECORDINGS, load
from scripts import extract_ripe


def test_the_pings_are_a_thousand_of_thirty_two_probes() -> None:
    series = load("ripe-pings.json.gz")["series"]
    points = [point for each in series for point in each["points"]]
    assert (len(series), len(points)) == (32, 1000)
    assert {datetime.fromtimestamp(at, UTC).year for at, _ in points} == {2020}
    assert sum(time is not None for _, times in points for time in times) == 2994


def test_the_traceroutes_are_a_thousand_of_539_probes_with_their_silence() -> None:
    series = load("ripe-traceroutes.json.gz")["series"]
    scans = [hops for each in series for _, hops in each["scans"]]
    assert (len(series), len(scans)) == (539, 1000)
    silent = [hop for hops in scans for hop in hops if hop[1] is None]
    assert silent
    assert all(hop[2] is None for hop in silent)
    assert all(hop[0] < 64 for hops in scans for hop in hops)


@pytest.mark.parametrize("name", ["ripe-pings.json.gz", "ripe-traceroutes.json.gz"])
def test_each_is_in_order_of_time_and_names_its_source(name: str) -> None:
    recording = load(name)
    rows = [[row[0] for row in each.get("points", each.get("scans"))] for each in recording["series"]]
    assert all(times == sorted(set(times)) for times in rows)
    assert extract_ripe.WHEEL_SHA256 in recording["source"]
    assert "RIPE Atlas" in recording["recording"]


def test_the_licence_lies_beside_them() -> None:
    text = (RECORDINGS / "LICENSE-fetchmesh.txt").read_text()
    assert "MIT License" in text
    assert "ripe-pings.json.gz" in text


def test_another_file_than_the_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.whl"
    other.write_bytes(b"no wheel")
    before = hashlib.sha256((RECORDINGS / "ripe-pings.json.gz").read_bytes()).hexdigest()
    monkeypatch.setattr(sys, "argv", ["extract_ripe.py", str(other)])
    assert extract_ripe.main() == 1
    assert hashlib.sha256((RECORDINGS / "ripe-pings.json.gz").read_bytes()).hexdigest() == before


def test_late_and_double_answers_and_the_last_resort_are_left_out() -> None:
    head = {"prb_id": 1, "from": "192.0.2.1", "timestamp": 5, "msm_id": 7, "dst_addr": "192.0.2.9", "proto": "ICMP"}
    ping = {**head, "type": "ping", "result": [{"rtt": 1.5}, {"x": "*"}, {"rtt": 9.0, "dup": 1}]}
    late = {"hop": 1, "result": [{"from": "192.0.2.2", "late": 1}, {"from": "192.0.2.3", "rtt": 2.5}]}
    rest = [{"hop": 2, "result": [{"x": "*"}]}, {"hop": 255, "result": [{"from": "192.0.2.9", "rtt": 3.0}]}]
    trace = {**head, "type": "traceroute", "result": [late, *rest]}
    assert extract_ripe.pings([ping])["series"][0]["points"] == [[5, [1.5, None]]]
    expected = [[1, "192.0.2.3", 2.5], [2, None, None]]
    assert extract_ripe.traceroutes([trace])["series"][0]["scans"] == [[5, expected]]
