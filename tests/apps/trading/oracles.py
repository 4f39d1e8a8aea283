"""Oracles for tests of rounds: operators with stake and nodes with keys; as rows, as speakers, as real processes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.test import Client

from apps.core import platform_keys
from apps.operators.models import Node, Operator, Stake
from apps.pool import broker
from apps.trading.models import Round
from tests.apps.pool import cast
from workers.node import identity as identities
from workers.node.identity import Broker, Identity
from workers.protocol.clock import utcnow
from workers.protocol.envelope import sign_document, sign_envelope

NAMES = ("ada", "bert", "cleo", "dora", "emil")
MESH = 10**8
OUTSIDE = {name: value for name, value in os.environ.items() if not name.startswith(("MESH_", "DJANGO_"))}
SUBJECT = {"symbol": "BTC-USD", "horizon_s": 900, "signal": "sig_test"}


def until(done: Callable[[], Any], seconds: float = 25.0) -> Any:
    """Wait for something that happens elsewhere."""
    end = time.monotonic() + seconds
    while not (value := done()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.03)
    return value


def measurements(rtts: list[str | None] | None = None) -> dict[str, Any]:
    """A path that became faster by half: a latency anomaly, LONG; and bars that close at 10,700 USD."""
    calm = [f"{20 + (i * 7 % 5) / 10:.1f}" for i in range(50)]
    return {
        "signal": {"kind": "latency_anomaly", "direction": "LONG", "confidence_bp": 9000, "pair": "BTC-USD"},
        "series": {
            "rtts": [*calm, "10.0"] if rtts is None else rtts,
            "times_s": [900 * i for i in range(51)],
            "hops_now": [],
            "hops_before": [],
        },
        "candles": [[60_000 * i, "10690.0", "10710.0", "10680.0", "10700.0", "1.5"] for i in range(60)],
        "model": None,
        "horizon_s": 900,
    }


def oracle(name: str, owner: Operator | None = None, *, staked: bool = True, **fields: Any) -> cast.Machine:
    """A node online with reputation 50, of an ORACLE owner with locked stake."""
    values = {"reputation": 50, **fields}
    machine = cast.machine(name, owner, **values)
    if staked and owner is None:
        stake(machine.node.operator)
    return machine


def stake(owner: Operator, status: str = Stake.Status.LOCKED) -> Stake:
    """The tier's stake."""
    return Stake.objects.create(id=uuid4(), operator=owner, amount=5000 * MESH, status=status, locked_at=utcnow())


@dataclass
class Voice:
    """An oracle on the wire, whose messages can be made wrong."""

    machine: cast.Machine
    client: Client = field(default_factory=Client)

    @property
    def owner(self) -> str:
        return self.machine.node.operator_id

    def document(self, kind: str, body: dict[str, Any], **changes: Any) -> dict[str, Any]:
        values = {"key": self.machine.signing, "net": platform_keys.network_id(), "now": utcnow(), **changes}
        return sign_document(kind, body, **values)

    def vote(self, row: Round, step: str = "prevote", value: str = "", view: int = 0, **changes: Any) -> dict[str, Any]:
        """A signed vote, or a commit."""
        said = {"round": row.pk, "view": view, "step": step, "signer": self.owner, **changes.pop("body", {})}
        said["commitment" if step == "commit" else "value"] = value
        return self.document(f"consensus.{step}", said, **changes)

    def post(self, row: Round, *wires: Any, **body: Any) -> tuple[int, dict[str, Any]]:
        """Status and answer of posting messages."""
        said = {"round": row.pk, "messages": list(wires), **body}
        return self.send(f"/consensus/{row.pk}", "consensus.messages", said)

    def send(self, path: str, kind: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        raw = sign_envelope(
            kind,
            body,
            key=self.machine.signing,
            net=platform_keys.network_id(),
            sender=self.machine.node.pk,
            to="platform",
            now=utcnow(),
        )
        response = self.client.post(path, json.dumps(raw), content_type="application/json")
        return response.status_code, response.json()


@dataclass
class SideLane:
    """A real side-lane process of one node."""

    machine: cast.Machine
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    def enrol(self, node_api: str) -> None:
        """What enrolment leaves on the node's disk, and the account on the broker."""
        account = broker.account(self.machine.node.pk, broker.new_secret())
        digest = broker.digest_of(account.password)
        broker.open_account(self.machine.node.pk, digest)
        Node.objects.filter(pk=self.machine.node.pk).update(broker_sha256=digest)
        keys = self.directory / "keys"
        identities.write_private(keys / "signing.key", self.machine.signing.private_bytes)
        identities.write_private(keys / "sealing.key", self.machine.sealing.private_bytes)
        identity = Identity(
            node_id=self.machine.node.pk,
            name=self.machine.node.name,
            network=platform_keys.network_id(),
            root_fingerprint=platform_keys.root_fingerprint(),
            site_url=node_api,
            node_api=node_api,
            gateway="ws://localhost:1/ws/node",
            broker=Broker(**account.as_dict()),
            key_list=platform_keys.key_list(),
            lanes={cast.LANE: 1},
        )
        identities.save(self.directory, identity)

    def start(self) -> None:
        command = [sys.executable, "-m", "workers.node.side_lane", "--directory", str(self.directory)]
        environment = {**OUTSIDE, "OMP_NUM_THREADS": "1", **self.environment}
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def log(self) -> str:
        return (self.directory / "log").read_text()


@contextmanager
def side_lanes(
    machines: list[cast.Machine], folder: Path, node_api: str, twin: int | None = None
) -> Iterator[list[SideLane]]:
    """Real processes of those nodes; number `twin` signs twice."""
    lanes = [
        SideLane(machine, folder / machine.node.name, {"MESH_NODE_EQUIVOCATE": "1"} if n == twin else {})
        for n, machine in enumerate(machines)
    ]
    try:
        for lane in lanes:
            lane.directory.mkdir()
            lane.enrol(node_api)
            lane.start()
        yield lanes
    finally:
        for lane in lanes:
            lane.kill()


def ended(row: Round, seconds: float = 50.0) -> Round:
    """The round once it is no longer open."""

    def look() -> bool:
        row.refresh_from_db()
        return row.status != "OPEN"

    until(look, seconds)
    return row


def soon(seconds: float) -> datetime:
    """So long from now."""
    return utcnow() + timedelta(seconds=seconds)
