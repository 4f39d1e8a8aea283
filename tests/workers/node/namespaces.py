"""Real multi-hop paths on one machine: routers are network namespaces, links are pairs of virtual devices.

    home - r1 ~ r2 - r3 - r4 - host       ~ holds packets back, by a delay that is set while it runs
                 ` x1 - x2 '              the longer way, taken when the route of r2 is changed

Addresses are public ones, as on the internet; no namespace has a way out.
"""

import codecs
import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
NETWORK_NAMESPACE = 0x40000000
SET_RESUID = 117
NOBODY = 65_534
ROUTERS = ("r1", "r2", "r3", "r4", "x1", "x2")
LINKS = (("home", "r1", 1), ("r2", "r3", 3), ("r3", "r4", 4), ("r4", "host", 5), ("r2", "x1", 6), ("x1", "x2", 7))
LAST_LINK = ("x2", "r4", 8)
HOST = "44.0.5.2"
SETTINGS = {
    "net.ipv4.ip_forward": "1",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.icmp_ratelimit": "0",
    "net.ipv4.icmp_msgs_per_sec": "1000000",
    "net.ipv4.fib_multipath_hash_policy": "1",
    "net.ipv4.icmp_errors_use_inbound_ifaddr": "1",
}
libc = ctypes.CDLL(None, use_errno=True)
# Loaded while this process may still read its own library; names are looked up by threads that may not.
codecs.lookup("idna")


def enter(namespace: str) -> None:
    """Move this thread into a namespace."""
    file = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(file, NETWORK_NAMESPACE) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(file)


def become_nobody() -> None:
    """Take this thread's privileges; the C library's call would take every thread's."""
    if libc.syscall(SET_RESUID, -1, NOBODY, -1) != 0:
        raise OSError(ctypes.get_errno(), "setresuid")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def sweep() -> None:
    """Remove the namespaces of processes that were killed."""
    for left in Path("/run/netns").glob("mesh-*-*"):
        if not Path("/proc", left.name.split("-")[1]).exists():
            ip("netns", "del", left.name)


class Network:
    """The network above. Names carry this process's id, so that test workers do not meet."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        sweep()
        for name in ("home", "host", *ROUTERS):
            ip("netns", "add", self.name(name))
            stack.callback(ip, "netns", "del", self.name(name))
            ip("-n", self.name(name), "link", "set", "lo", "up")
            self.set(name, **SETTINGS)
        for left, right, number in (*LINKS, LAST_LINK):
            self.link(left, right, number)
        self.pump = self.delayed("r1", "r2", 2)
        self.route("home", "default", "44.0.1.2")
        self.route("host", "default", "44.0.5.1")
        self.route("r1", "default", "44.0.2.2")
        self.route("r2", "44.0.1.0/30", "44.0.2.1")
        self.route("r3", "default", "44.0.3.1")
        self.route("r3", "44.0.5.0/30", "44.0.4.2")
        self.route("x1", "default", "44.0.6.1")
        self.route("x1", "44.0.5.0/30", "44.0.7.2")
        self.route("x2", "default", "44.0.7.1")
        self.route("x2", "44.0.5.0/30", "44.0.8.2")
        self.route("r4", "default", "44.0.4.1")
        self.short()

    def name(self, node: str) -> str:
        return f"mesh-{os.getpid()}-{node}"

    def set(self, node: str, **values: str) -> None:
        """Kernel settings of one namespace."""

        def write() -> None:
            for name, value in values.items():
                Path("/proc/sys", *name.split(".")).write_text(value)

        self.inside(node, write, privileged=True)

    def link(self, left: str, right: str, number: int) -> None:
        """From 44.0.<number>.1 to 44.0.<number>.2; devices are called as the node at their other end."""
        a, b = self.name(left), self.name(right)
        ip("link", "add", right, "netns", a, "type", "veth", "peer", "name", left, "netns", b)
        for namespace, device, last in ((a, right, 1), (b, left, 2)):
            ip("-n", namespace, "addr", "add", f"44.0.{number}.{last}/30", "dev", device)
            ip("-n", namespace, "link", "set", device, "up")

    def delayed(self, left: str, right: str, number: int) -> subprocess.Popen[str]:
        """The same through a process that holds packets back."""
        ends = (self.name(left), right, f"44.0.{number}.1", self.name(right), left, f"44.0.{number}.2")
        pump = subprocess.Popen(
            [sys.executable, "-m", "tests.workers.node.delay_link", *ends],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.stack.enter_context(pump)
        self.stack.callback(pump.stdin.close)
        assert pump.stdout.readline() == "up\n"
        return pump

    def delay(self, ms: float) -> None:
        """The delay of r1 ~ r2, each way, from now on."""
        self.pump.stdin.write(f"{ms}\n")
        self.pump.stdin.flush()
        assert self.pump.stdout.readline() == "set\n"

    def route(self, node: str, target: str, *via: str) -> None:
        """Replace a route; several gateways share it by flow."""
        hops = ("via", *via) if len(via) == 1 else tuple(w for each in via for w in ("nexthop", "via", each))
        ip("-n", self.name(node), "route", "replace", target, *hops)

    def short(self) -> None:
        self.route("r2", "44.0.5.0/30", "44.0.3.2")

    def long(self) -> None:
        self.route("r2", "44.0.5.0/30", "44.0.6.2")

    def shared(self) -> None:
        """Both ways at once: which one a flow takes follows from its ports."""
        self.route("r2", "44.0.5.0/30", "44.0.3.2", "44.0.6.2")

    def inside(self, node: str, work: Callable[[], Any], *, privileged: bool = False) -> Any:
        """Run in a thread of its own that is in the namespace, and nobody's unless privileged."""
        answer: list[Any] = []

        def run() -> None:
            try:
                enter(self.name(node))
                if not privileged:
                    become_nobody()
                answer.append((True, work()))
            except BaseException as error:  # noqa: BLE001
                answer.append((False, error))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        fine, value = answer[0]
        if not fine:
            raise value
        return value


def why_not() -> str | None:
    """The reason why namespaces cannot be had here, or None."""
    name = f"mesh-{os.getpid()}-try"
    try:
        made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    except OSError as error:
        return f"ip: {error}"
    if made.returncode:
        return f"ip netns: {made.stderr.strip()}"
    ip("netns", "del", name)
    return None if os.access("/dev/net/tun", os.R_OK | os.W_OK) else "/dev/net/tun cannot be opened"
