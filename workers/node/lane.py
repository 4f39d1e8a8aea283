"""A lane process: a Celery worker on this node's own queue that runs one task at a time.

Started by the agent as `python -m workers.node.lane --directory D --lane inference.cpu`; one process per slot.
"""

import argparse
import logging
import os
from pathlib import Path
from typing import Any

from celery import Celery
from kombu import Queue

from workers.engines import Engines
from workers.node import identity as identities
from workers.node.api import NodeApi
from workers.node.cache import ArtifactCache
from workers.node.config import NodeConfig, load_config
from workers.node.identity import Identity
from workers.node.log import configure_logging
from workers.node.parent import die_with_parent
from workers.node.runner import Runner
from workers.node.state import NodeState
from workers.protocol.envelope import SqliteReplayGuard

MEGABYTE = 2**20


def make_runner(config: NodeConfig) -> Runner:
    """The runner of this directory's node."""
    identity = identities.load(config.directory)
    signing, sealing = identities.load_or_make_keys(config.directory)
    return Runner(
        identity=identity,
        sealing_key=sealing,
        api=NodeApi(identity, signing),
        state=NodeState(config.directory),
        cache=ArtifactCache(config.directory / "cache", max_bytes=config.cache_mb * MEGABYTE),
        engines=Engines(engine_address=config.engine_address),
        replay=SqliteReplayGuard(config.directory / "replay.sqlite3"),
    )


def make_app(identity: Identity, *lanes: str) -> Celery:
    """The Celery application whose account can do one thing: BRPOP under its own prefix."""
    broker = identity.broker
    scheme, _, address = broker.url.partition("://")
    app = Celery("node", broker=f"{scheme}://{broker.username}:{broker.password}@{address}")
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        result_backend=None,
        task_queues=[Queue(lane, no_declare=True) for lane in lanes],
        task_default_queue=lanes[0],
        task_create_missing_queues=False,
        broker_transport_options={"global_keyprefix": broker.prefix, "ack_emulation": False},
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        task_acks_late=False,
    )
    return app


def serve_broker(config: NodeConfig, lane: str) -> None:
    """Serve the lane from the broker until told to stop."""
    runner = make_runner(config)
    app = make_app(runner.identity, lane)

    @app.task(name="mesh.run")
    def run(envelope: dict[str, Any]) -> None:
        runner.run(envelope)

    hostname = f"{lane}-{os.getpid()}@{runner.identity.node_id}"
    app.worker_main(
        [
            "worker",
            "--pool=solo",
            "--concurrency=1",
            f"--hostname={hostname}",
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            f"--queues={lane}",
        ]
    )


def serve_http(config: NodeConfig, lane: str) -> None:
    """Serve the lane by long-polling the node API: for hosts that cannot reach the broker."""
    from workers.node.polling import serve

    serve(make_runner(config), lane)


def main() -> None:
    """Entry of the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--lane", required=True)
    parser.add_argument("--transport", choices=["celery", "http"], default="celery")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--engine-address", default="127.0.0.1:11434")
    arguments = parser.parse_args()
    die_with_parent()
    configure_logging(f"lane.{arguments.lane}", arguments.log_level)
    config = load_config(
        directory=arguments.directory, engine_address=arguments.engine_address, transport=arguments.transport
    )
    logging.getLogger("node.lane").info("Lane ready", extra={"lane": arguments.lane})
    if arguments.transport == "http":
        serve_http(config, arguments.lane)
    else:
        serve_broker(config, arguments.lane)


if __name__ == "__main__":
    main()
