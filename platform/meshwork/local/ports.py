"""Choosing ports on the loopback interface."""

import contextlib
import random
import socket
import sys
from collections.abc import Iterable

# Below the kernel's range for outgoing connections, so that none of those takes the port before its server does.
CHOICE = range(20_000, 32_000)
_reserved: set[int] = set()


def is_free(port: int) -> bool:
    """Whether nobody listens on `port` of 127.0.0.1 or ::1 (a browser may try either for `localhost`)."""
    return _can_bind(socket.AF_INET, "127.0.0.1", port) and (
        not _can_bind(socket.AF_INET6, "::1", 0) or _can_bind(socket.AF_INET6, "::1", port)
    )


def _can_bind(family: socket.AddressFamily, host: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError:
        return False
    return True


def reserve(port: int) -> bool:
    """Keep other stacks of this machine from choosing `port` until this process ends; servers share ports otherwise.

    The reservation is a name in Linux's abstract socket space, which the kernel frees; elsewhere there is none.
    """
    if port in _reserved or not sys.platform.startswith("linux"):
        return True
    name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        name.bind(f"\0meshwork-port-{port}")
    except OSError:
        name.close()
        return False
    name.detach()  # the descriptor stays open until this process ends
    _reserved.add(port)
    return True


def choose(preferred: Iterable[int], taken: Iterable[int] = ()) -> int:
    """The first free one of `preferred` (0: no preference), else a free one at random; never one of `taken`."""
    avoid = set(taken)
    for port in preferred:
        if port and port not in avoid and is_free(port) and reserve(port):
            return port
    for port in random.sample(CHOICE, 200):
        if port not in avoid and is_free(port) and reserve(port):
            return port
    raise OSError("No free port was found on the loopback interface.")


def answers(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
