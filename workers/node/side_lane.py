"""The side lane: a Celery worker with threads for what must never wait behind inference: scans and consensus.

Started by the agent as `python -m workers.node.side_lane --directory D`; one process a node. What is heavy is imported
by the first scan or round that needs it.
"""

import argparse
import logging
import os
from pathlib import Path
from typing import Any

from celery.signals import worker_shutting_down
from redis import Redis

from workers.consensus.errors import ConsensusError
from workers.node import identity as identities
from workers.node.api import NodeApi
from workers.node.cache import ArtifactCache
from workers.node.config import NodeConfig, load_config
from workers.node.equivocating import Twin
from workers.node.errors import NodeError
from workers.node.journal import SqliteJournal
from workers.node.lane import MEGABYTE, make_app
from workers.node.log import configure_logging
from workers.node.parent import die_with_parent
from workers.node.taking_part import Oracle
from workers.protocol.clock import utcnow
from workers.protocol.envelope import SqliteReplayGuard, open_envelope
from workers.protocol.errors import ProtocolError
from workers.protocol.messages import decode_body

logger = logging.getLogger("node.side_lane")
LANES = ("scan", "consensus")
KINDS = {"scan.run", "consensus.start"}
THREADS = 4
# Longer than any BRPOP here waits.
SOCKET_S = 10


class SideLane:
    """What the threads share."""

    def __init__(self, config: NodeConfig) -> None:
        self.identity = identities.load(config.directory)
        signing, _ = identities.load_or_make_keys(config.directory)
        self.api = NodeApi(self.identity, signing)
        self.replay = SqliteReplayGuard(config.directory / "side-replay.sqlite3")
        broker = self.identity.broker
        self.oracle = Oracle(
            identity=self.identity,
            key=signing,
            api=self.api,
            cache=ArtifactCache(config.directory / "cache", max_bytes=config.cache_mb * MEGABYTE),
            journal=SqliteJournal(config.directory / "consensus.sqlite3"),
            mailbox=Redis.from_url(
                broker.url, username=broker.username, password=broker.password, socket_timeout=SOCKET_S
            ),
            twin=Twin(self.identity.network, signing.kid),
        )

    def run(self, raw: dict[str, Any]) -> str:
        """Carry out one envelope of the platform, verified before anything else; returns what came of it."""
        try:
            envelope = open_envelope(
                raw,
                net=self.identity.network,
                to=self.identity.node_id,
                kinds=KINDS,
                resolve=self.identity.keys().resolve,
                now=utcnow(),
                replay=self.replay,
            )
            decode_body(envelope.kind, envelope.body)
        except ProtocolError as error:
            logger.warning("An envelope was refused", extra={"code": error.code})
            return error.code
        try:
            return self.oracle.run(envelope.body) if envelope.kind == "consensus.start" else self.scan(envelope.body)
        except (NodeError, ConsensusError) as error:
            logger.warning("Refused", extra={"kind": envelope.kind, "code": error.code, "error": str(error)[:300]})
            return error.code

    def scan(self, body: dict[str, Any]) -> str:
        """Measure a path and post it."""
        from workers.node.scanning import run_scan

        return str(self.api.post("scan.result", "/scans", run_scan(body))["status"])

    def stop(self, **_: Any) -> None:
        """Leave the rounds under way: the next process takes them up again."""
        self.oracle.stopping.set()


def serve(config: NodeConfig) -> None:
    """Serve both lanes until told to stop."""
    side = SideLane(config)
    worker_shutting_down.connect(side.stop, weak=False)
    app = make_app(side.identity, *LANES)

    @app.task(name="mesh.run")
    def run(envelope: dict[str, Any]) -> None:
        side.run(envelope)

    side.oracle.resume()
    app.worker_main(
        [
            "worker",
            "--pool=threads",
            f"--concurrency={THREADS}",
            f"--hostname=side-{os.getpid()}@{side.identity.node_id}",
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            f"--queues={','.join(LANES)}",
        ]
    )


def main() -> None:
    """Entry of the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--log-level", default="info")
    arguments = parser.parse_args()
    die_with_parent()
    configure_logging("lane.side", arguments.log_level)
    logger.info("Side lane ready", extra={"lanes": ", ".join(LANES)})
    serve(load_config(directory=arguments.directory))


if __name__ == "__main__":
    main()
