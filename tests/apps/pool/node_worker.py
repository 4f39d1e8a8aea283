"""A Celery worker with a node's own settings that writes down what it is given: `node_worker.py ACCOUNT LANE FILE`."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from workers.node.identity import Broker, Identity
from workers.node.lane import make_app


def main() -> None:
    account, lane, seen = json.loads(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    identity = Identity("node_x", "x", "net", "", "", "", "", Broker(**account), {}, {lane: 1})
    app = make_app(identity, lane)

    @app.task(name="mesh.run")
    def run(envelope: dict[str, Any]) -> None:
        with seen.open("a") as file:
            file.write(json.dumps(envelope) + "\n")
        time.sleep(float(envelope.get("sleep", 0)))

    arguments = ["worker", "--pool=solo", "--concurrency=1", f"--hostname={lane}@{seen.stem}", "--loglevel=WARNING"]
    app.worker_main([*arguments, "--without-gossip", "--without-mingle", "--without-heartbeat", f"--queues={lane}"])


if __name__ == "__main__":
    main()
