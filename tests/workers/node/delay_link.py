"""A link between two network namespaces through this process, with a delay that is changed while it runs.

`python delay_link.py NS IFACE ADDRESS NS IFACE ADDRESS`: prints "up"; each line read is the delay of one way in ms.
"""

import fcntl
import heapq
import os
import selectors
import struct
import subprocess
import sys
import time

from tests.workers.node.namespaces import enter

TUNSETIFF = 0x400454CA
NO_HEADER = 0x1001


def end(namespace: str, name: str, own: str, other: str) -> int:
    """One end of the link, as a file of packets."""
    enter(namespace)
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH", name.encode(), NO_HEADER))
    subprocess.run(["ip", "addr", "add", own, "peer", other, "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    return file


def main() -> None:
    """Carry packets until standard input ends."""
    left, left_name, left_address, right, right_name, right_address = sys.argv[1:7]
    a = end(left, left_name, left_address, right_address)
    b = end(right, right_name, right_address, left_address)
    ready = selectors.DefaultSelector()
    for file in (a, b, sys.stdin.fileno()):
        ready.register(file, selectors.EVENT_READ)
    queue: list[tuple[float, int, int, bytes]] = []
    delay, count = 0.0, 0
    sys.stdout.write("up\n")
    sys.stdout.flush()
    while True:
        wait = max(0.0, queue[0][0] - time.monotonic()) if queue else None
        for key, _ in ready.select(wait):
            data = os.read(key.fd, 65_535)
            if key.fd == sys.stdin.fileno():
                if not data:
                    return
                delay = float(data.split()[-1]) / 1000
                sys.stdout.write("set\n")
                sys.stdout.flush()
            else:
                count += 1
                heapq.heappush(queue, (time.monotonic() + delay, count, b if key.fd == a else a, data))
        while queue and queue[0][0] <= time.monotonic():
            _, _, file, data = heapq.heappop(queue)
            os.write(file, data)


if __name__ == "__main__":
    main()
