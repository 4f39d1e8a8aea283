"""Probes of a path by unprivileged sockets on Linux: what routers answer comes through the error queue (IP_RECVERR).

A probe's flow stays the same from scan to scan: the source port (for ICMP the identifier) follows from the address, the
destination port (the sequence number) from the TTL. So a load balancer sends a hop's probe the same way every time, and
a path that differs has changed.
"""

import errno
import select
import socket
import struct
import time
import zlib
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, NamedTuple

from workers.node.errors import ScanFailed

MSG_ERRQUEUE = 0x2000
SO_TIMESTAMPNS = 35
FIRST_PORT = 33_434
PORTS = range(40_000, 60_000)
TRIES = 8
PAYLOAD = b"meshwork traceroute".ljust(32, b".")
EXTENDED_ERROR = struct.Struct("=IBBBBII")
ECHO = struct.Struct("!BBHHH")
MOST = 1_000


class Family(NamedTuple):
    """The numbers of one version of the Internet Protocol, from Linux's headers."""

    family: int
    level: int
    receive_errors: int
    hop_limit: int
    icmp: int
    origin: int
    time_exceeded: int
    unreachable: int
    echo: int
    offender: slice


V4 = Family(socket.AF_INET, 0, 11, 2, 1, 2, 11, 3, 8, slice(20, 24))
V6 = Family(socket.AF_INET6, 41, 25, 52, 58, 3, 3, 1, 128, slice(24, 40))


class Answer(NamedTuple):
    """Who answered the probe of a TTL, after how many ms, and whether the path ends there."""

    ttl: int
    address: str
    rtt_ms: float
    ends: bool


@dataclass
class Sent:
    """When a probe left: by the wall's clock, which the kernel stamps arrivals with, and by the monotonic one."""

    wall_ns: int
    monotonic_ns: int

    def rtt_ms(self, arrived_wall_ns: int | None) -> float:
        """By the kernel's stamp; by our own clock where there is none or the wall's clock was set meanwhile."""
        ours = time.monotonic_ns() - self.monotonic_ns
        kernels = ours if arrived_wall_ns is None else arrived_wall_ns - self.wall_ns
        return (kernels if 0 <= kernels <= ours else ours) / 1e6


class Prober:
    """One socket that probes one address. `send` and `receive` never wait longer than asked."""

    def __init__(self, address: str, method: str) -> None:
        self.address = address
        self.icmp = method == "icmp"
        self.numbers = V4 if ip_address(address).version == 4 else V6
        self.sent: dict[int, Sent] = {}
        self.socket = self._open()
        self.poll = select.poll()
        self.poll.register(self.socket, select.POLLIN | select.POLLERR)

    def __enter__(self) -> "Prober":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def _open(self) -> socket.socket:
        """The socket, bound so that the flow is the same every time; raises ScanFailed."""
        protocol = self.numbers.icmp if self.icmp else socket.IPPROTO_UDP
        try:
            opened = socket.socket(self.numbers.family, socket.SOCK_DGRAM, protocol)
        except PermissionError as error:
            detail = "ICMP sockets need this user's group in net.ipv4.ping_group_range; use UDP."
            raise ScanFailed("not_permitted", detail) from error
        except OSError as error:
            raise ScanFailed("no_route", f"No socket for {self.address}: {error}") from error
        opened.setblocking(False)
        opened.setsockopt(self.numbers.level, self.numbers.receive_errors, 1)
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        # A port that another scan of the same address holds would give a second flow; the next few do, too.
        first = zlib.crc32(self.address.encode())
        for attempt in range(TRIES):
            try:
                opened.bind(("", PORTS[(first + attempt) % len(PORTS)]))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    opened.close()
                    raise
            else:
                break
        return opened

    def send(self, ttl: int) -> None:
        """Send the probe of a TTL; raises ScanFailed where this host knows no way."""
        control = [(self.numbers.level, self.numbers.hop_limit, struct.pack("=i", ttl))]
        port = 0 if self.icmp else FIRST_PORT + ttl
        data = ECHO.pack(self.numbers.echo, 0, 0, 0, ttl) + PAYLOAD if self.icmp else PAYLOAD
        for _ in range(TRIES):
            self.sent[ttl] = Sent(time.time_ns(), time.monotonic_ns())
            try:
                self.socket.sendmsg([data], control, 0, (self.address, port))
            except OSError as error:
                # An answer that waits in the error queue is reported by the next call, which then sends nothing.
                failed = error
            else:
                return
        raise ScanFailed("no_route", f"{self.address} cannot be reached from here: {failed.strerror}.") from failed

    def receive(self, wait_s: float) -> list[Answer]:
        """What has been answered, waiting at most so long for the first."""
        if not self.poll.poll(max(0.0, wait_s) * 1000):
            return []
        found = []
        for flags in (MSG_ERRQUEUE, 0):
            for _ in range(MOST):
                try:
                    data, control, _, source = self.socket.recvmsg(1024, 512, flags)
                except BlockingIOError:
                    break
                except OSError:
                    # The pending error of an answer that has just been read.
                    continue
                answer = self._refused(data, control, source) if flags else self._replied(data, control, source)
                if answer:
                    found.append(answer)
        return found

    def _refused(self, data: bytes, control: list[Any], source: Any) -> Answer | None:
        """From the error queue: `source` is where the probe was going, the offender who answered."""
        for level, kind, value in control:
            if (level, kind) != (self.numbers.level, self.numbers.receive_errors):
                continue
            _, origin, type_, *_ = EXTENDED_ERROR.unpack(value[: EXTENDED_ERROR.size])
            if origin != self.numbers.origin:
                return None
            ttl = ECHO.unpack_from(data)[4] if self.icmp and len(data) >= ECHO.size else source[1] - FIRST_PORT
            address = socket.inet_ntop(self.numbers.family, value[self.numbers.offender])
            if type_ not in {self.numbers.time_exceeded, self.numbers.unreachable}:
                return None
            return self._answer(ttl, address, control, ends=type_ == self.numbers.unreachable)
        return None

    def _replied(self, data: bytes, control: list[Any], source: Any) -> Answer | None:
        """An echo reply, or the answer of a service that listens on a probed port."""
        if source[0] != self.address:
            return None
        ttl = ECHO.unpack_from(data)[4] if self.icmp and len(data) >= ECHO.size else source[1] - FIRST_PORT
        return self._answer(ttl, self.address, control, ends=True)

    def _answer(self, ttl: int, address: str, control: list[Any], *, ends: bool) -> Answer | None:
        """The first answer to a probe that was sent; whatever else arrives is none."""
        sent = self.sent.pop(ttl, None)
        if sent is None:
            return None
        stamps = [value for level, kind, value in control if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS)]
        seconds, nanoseconds = struct.unpack("@ll", stamps[0][:16]) if stamps else (None, None)
        arrived = None if seconds is None else seconds * 10**9 + nanoseconds
        return Answer(ttl, address, sent.rtt_ms(arrived), ends)
