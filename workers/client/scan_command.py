"""`mesh scan`: the path to a host, as this machine's node would measure it."""

from typing import Annotated

import typer

from workers.client.account_commands import Json
from workers.client.output import print_json, print_table, say
from workers.node.scanning import MOST_HOPS, WAIT_S, mask, traceroute


def scan(
    host: Annotated[str, typer.Argument(help="A name or an address.")],
    method: Annotated[str, typer.Option("--method", help="udp, or icmp where the host permits it.")] = "udp",
    max_hops: Annotated[int, typer.Option("--max-hops", min=1, max=MOST_HOPS, help="How far to look.")] = MOST_HOPS,
    wait: Annotated[float, typer.Option("--wait", min=0.1, max=30, help="Seconds to wait for answers.")] = WAIT_S,
    masked: Annotated[bool, typer.Option("--masked", help="As it would be published: nearby hops hidden.")] = False,
    as_json: Json = False,
) -> None:
    """Measure the path to a host without privileges; silent hops stay silent."""
    result = traceroute(host, max_hops, wait, method)
    hops = mask(result.hops, keep=result.address) if masked else result.hops
    if as_json:
        print_json(
            {
                "host": result.host,
                "address": result.address,
                "method": result.method,
                "started_at": result.started_at.isoformat(),
                "reached": result.reached,
                "total_rtt_ms": result.total_rtt_ms,
                "hops": hops,
            }
        )
        return
    rows = [[hop["hop"], hop["ip"] or ("(masked)" if hop["masked"] else "*"), hop["rtt_ms"]] for hop in hops]
    print_table(["hop", "address", "ms"], rows)
    say(f"{result.address} {'answered' if result.reached else 'did not answer'} ({result.method}).")
