"""Scans of the path to a host: a traceroute without privileges, bounded in time, that keeps silent hops silent."""

import re
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Any, TypedDict

import msgspec
from msgspec import Meta

from workers.node.errors import ScanFailed
from workers.node.scanning_sockets import Answer, Prober
from workers.protocol.clock import unix_ms, utcnow

METHODS = ("udp", "icmp")
MOST_HOPS = 20
WAIT_S = 2.0
RESOLVE_S = 5.0
GAP_S = 0.005
MASKED_PLACES = 3
NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?|[0-9a-fA-F:.]{2,45}")


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """The body of scan.run."""

    scan: Annotated[str, Meta(min_length=1, max_length=200)]
    host: Annotated[str, Meta(max_length=300)]
    method: Annotated[str, Meta(max_length=12)] = "udp"
    max_hops: Annotated[int, Meta(ge=1, le=MOST_HOPS)] = MOST_HOPS


class Hop(TypedDict):
    """One place of the path; `ip` and `rtt_ms` are None where nobody answered, `masked` where the address is hidden."""

    hop: int
    ip: str | None
    rtt_ms: float | None
    masked: bool


@dataclass(frozen=True)
class TraceResult:
    """A path as it was measured; `total_rtt_ms` is that of the last hop that answered."""

    host: str
    address: str
    method: str
    hops: list[Hop]
    total_rtt_ms: float | None
    reached: bool
    started_at: datetime


def traceroute(host: str, max_hops: int = MOST_HOPS, timeout_s: float = WAIT_S, method: str = "udp") -> TraceResult:
    """Probe every place of the path once, side by side; takes at most RESOLVE_S, the gaps and timeout_s.

    Raises ScanFailed: host_invalid, method_unknown, host_unknown, no_route, not_permitted, not_supported.
    """
    if method not in METHODS:
        raise ScanFailed("method_unknown", f"A scan is by one of {', '.join(METHODS)}.")
    if not sys.platform.startswith("linux"):
        raise ScanFailed("not_supported", "Scans without privileges need Linux.")
    address = resolve(host)
    started_at = utcnow()
    with Prober(address, method) as prober:
        answers = _probe(prober, min(max(1, max_hops), MOST_HOPS), timeout_s)
    hops = _hops(answers, min(max(1, max_hops), MOST_HOPS))
    timed = [hop["rtt_ms"] for hop in hops if hop["rtt_ms"] is not None]
    reached = any(hop["ip"] == address for hop in hops)
    return TraceResult(host, address, method, hops, timed[-1] if timed else None, reached, started_at)


def resolve(host: str) -> str:
    """The address to probe, IPv4 where there is one; raises ScanFailed: host_invalid, host_unknown."""
    if not NAME.fullmatch(host):
        raise ScanFailed("host_invalid", "A host is a name or an address.")
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        found = pool.submit(socket.getaddrinfo, host, None, type=socket.SOCK_DGRAM).result(RESOLVE_S)
    except (OSError, TimeoutError, UnicodeError) as error:
        raise ScanFailed("host_unknown", f"{host} has no address: {error or 'no answer in time'}.") from error
    finally:
        pool.shutdown(wait=False)
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])


def public(host: str) -> str:
    """The address of a host of the public internet; raises ScanFailed: target_private too."""
    address = resolve(host)
    if not ip_address(address).is_global or ip_address(address).is_multicast:
        raise ScanFailed("target_private", f"{host} is no public address.")
    return address


def _probe(prober: Prober, max_hops: int, timeout_s: float) -> dict[int, Answer]:
    """Send the probes a little apart, then wait until nothing that counts is missing or the time is over."""
    answers: dict[int, Answer] = {}
    last = max_hops
    for ttl in range(1, max_hops + 1):
        prober.send(ttl)
        last = _take(answers, prober.receive(GAP_S), last)
        if last <= ttl:
            break
    until = time.monotonic() + timeout_s
    while (left := until - time.monotonic()) > 0 and len([ttl for ttl in answers if ttl <= last]) < last:
        last = _take(answers, prober.receive(left), last)
    return answers


def _take(answers: dict[int, Answer], found: Iterable[Answer], last: int) -> int:
    """Keep the answers; the path ends at the first place that says so."""
    for answer in found:
        answers[answer.ttl] = answer
        if answer.ends:
            last = min(last, answer.ttl)
    return last


def _hops(answers: dict[int, Answer], max_hops: int) -> list[Hop]:
    """Every place up to the end of the path, silent ones included."""
    last = min((answer.ttl for answer in answers.values() if answer.ends), default=max_hops)
    hops: list[Hop] = []
    for place in range(1, last + 1):
        answer = answers.get(place)
        rtt = round(answer.rtt_ms, 3) if answer else None
        hops.append({"hop": place, "ip": answer.address if answer else None, "rtt_ms": rtt, "masked": False})
    return hops


def mask(hops: Iterable[Hop], keep: str | None = None) -> list[Hop]:
    """Hide who stands near the operator: the first three places, and the private ones that follow without a public one.

    Times stay. `keep` is the host itself, which is no secret however near it is.
    """
    shown: list[Hop] = []
    near = True
    for hop in hops:
        address = hop["ip"]
        near = near and (hop["hop"] <= MASKED_PLACES or address is None or not ip_address(address).is_global)
        hide = near and address is not None and address != keep
        shown.append({**hop, "ip": None, "masked": True} if hide else {**hop})
    return shown


def run_scan(body: Mapping[str, Any], *, private: bool = False) -> dict[str, Any]:
    """Carry out a scan.run {scan, host, method, max_hops} and answer the body of its scan.result.

    A scan that fails is answered with its error; an order that is none raises ScanFailed: order_invalid. Private
    addresses are probed only where the operator allows it, so that nobody explores an operator's own network through
    the node. Times are decimal text, since the body will be signed.
    """
    try:
        order = msgspec.convert(body, Order)
    except msgspec.ValidationError as error:
        raise ScanFailed("order_invalid", f"The order of a scan is wrong: {error}") from error
    answer: dict[str, Any] = {"scan": order.scan, "host": order.host, "method": order.method, "address": None}
    now = utcnow()
    try:
        address = resolve(order.host) if private else public(order.host)
        result = traceroute(address, order.max_hops, method=order.method)
    except ScanFailed as error:
        fault = {"code": error.code, "detail": str(error)}
        return {**answer, "measured_at": unix_ms(now), "hops": [], "total_rtt_ms": None, "error": fault}
    hops = [{**hop, "rtt_ms": _text(hop["rtt_ms"])} for hop in mask(result.hops, keep=address)]
    return {
        **answer,
        "address": address,
        "measured_at": unix_ms(result.started_at),
        "hops": hops,
        "total_rtt_ms": _text(result.total_rtt_ms),
        "error": None,
    }


def _text(rtt_ms: float | None) -> str | None:
    """Milliseconds to the microsecond."""
    return None if rtt_ms is None else f"{rtt_ms:.3f}"
