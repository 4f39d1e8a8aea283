"""Heartbeats a second that the node API accepts: signed, checked, refused if replayed, answered with a signature."""

import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from bench.network import platform

NODES = 500
BEATS = 12_000
RUNS = 3
PROCESSES = 2
CONNECTIONS = 8


def measure() -> dict[str, Any]:
    """The median of three runs of pre-signed heartbeats of 500 nodes over 16 keep-alive connections."""
    with platform():
        nodes = enrolled(NODES)
        rates = sorted(pound("/api/v1/pool/heartbeat", signed(nodes, BEATS)) for _ in range(RUNS))
    return {
        "figure": "heartbeat",
        "ours": round(rates[RUNS // 2], 0),
        "unit": "heartbeats/s",
        "peer": "gpustack server",
        "theirs": None,
        "ratio": None,
        "n": BEATS,
        "note": f"{PROCESSES * CONNECTIONS} connections, clients on the same cores; goal ≥ 2,000; runs: "
        f"{[round(rate) for rate in rates]}",
    }


def enrolled(count: int) -> list[tuple[str, Any]]:
    """(node id, signing key) of nodes that are rows only."""
    from apps.operators.models import Node, NodeStatus, Operator
    from workers.protocol.clock import utcnow
    from workers.protocol.ids import new_id
    from workers.protocol.keys import SigningKey, b64

    owner, now = Operator.objects.first(), utcnow()
    keys = [SigningKey.generate() for _ in range(count)]
    rows = [
        Node(
            id=new_id("node", now),
            operator=owner,
            name=f"bench-{n}",
            status=NodeStatus.ONLINE,
            status_at=now,
            sign_public=b64(key.public),
            seal_public=b64(SigningKey.generate().public),
            kid=key.kid,
            lanes={"inference.cpu": 1},
            enrolled_at=now,
        )
        for n, key in enumerate(keys)
    ]
    Node.objects.bulk_create(rows)
    return [(row.pk, key) for row, key in zip(rows, keys, strict=True)]


def signed(nodes: Sequence[tuple[str, Any]], count: int) -> list[bytes]:
    """So many heartbeats, by the nodes in turn."""
    import json

    from apps.core import platform_keys
    from workers.protocol.clock import unix_ms, utcnow
    from workers.protocol.envelope import sign_envelope

    net, made = platform_keys.network_id(), []
    for n in range(count):
        node_id, key = nodes[n % len(nodes)]
        now = utcnow()
        body = {
            "load": 10,
            "slots": {"inference.cpu": 1},
            "memory_free_mb": 4000,
            "running": [],
            "draining": False,
            "models": [],
            "sent_at": unix_ms(now),
        }
        envelope = sign_envelope("node.heartbeat", body, key=key, net=net, sender=node_id, to="platform", now=now)
        made.append(json.dumps(envelope).encode())
    return made


def pound(path: str, bodies: Sequence[bytes], ok: bytes = b"200") -> float:
    """POST all bodies to the node API from processes of their own; returns how many a second were accepted."""
    address = urlsplit(os.environ["MESH_NODE_API_URL"])
    spawn = multiprocessing.get_context("spawn")
    ready, done = spawn.Barrier(PROCESSES + 1), spawn.Queue()
    target = (str(address.hostname), int(address.port or 80), path, ok)
    senders = [
        spawn.Process(target=send, args=(target, bodies[n::PROCESSES], ready, done), daemon=True)
        for n in range(PROCESSES)
    ]
    for sender in senders:
        sender.start()
    ready.wait()
    start = time.perf_counter()
    accepted = sum(done.get() for _ in senders)
    seconds = time.perf_counter() - start
    if accepted != len(bodies):
        raise RuntimeError(f"{len(bodies) - accepted} of {len(bodies)} requests were refused")
    return accepted / seconds


def send(target: tuple[str, int, str, bytes], bodies: Sequence[bytes], ready: Any, done: Any) -> None:
    """One process of clients, as thin as can be: the requests are bytes before the clock starts."""
    host, port, path, ok = target
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\nContent-Length: "
    requests = [head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]
    accepted = [0] * CONNECTIONS

    def client(number: int) -> None:
        with socket.create_connection((host, port)) as connection:
            for request in requests[number::CONNECTIONS]:
                connection.sendall(request)
                accepted[number] += answer(connection).startswith(b"HTTP/1.1 " + ok)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CONNECTIONS)]
    ready.wait()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.put(sum(accepted))


def answer(connection: socket.socket) -> bytes:
    """One whole HTTP answer with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65_536)
    return head
