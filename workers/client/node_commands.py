"""`mesh node join | run | pause | drain | resume | rotate-keys | doctor | status | probe`, and `mesh model-server`."""

import json
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from workers.client import wallets
from workers.client.account_commands import Json
from workers.client.output import print_fields, print_json, say, words
from workers.node import identity as identities
from workers.node import limits
from workers.node.agent import Agent
from workers.node.api import NodeApi
from workers.node.config import NodeConfig, load_config
from workers.node.doctor import examine
from workers.node.errors import NodeError
from workers.node.hosting import join_as_host
from workers.node.join import join as join_network
from workers.node.log import configure_logging
from workers.node.model_server import ModelServer
from workers.node.probe import probe as probe_host
from workers.node.rotate import rotate
from workers.node.state import NodeState
from workers.protocol.clock import unix_ms, utcnow

app = typer.Typer(no_args_is_help=True)
Directory = Annotated[Path | None, typer.Option("--dir", help="Where the node keeps its keys, cache and state.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", exists=True, dir_okay=False, help="Settings as YAML.")]


def settings(config: Path | None, directory: Path | None, **more: Any) -> NodeConfig:
    """The node's settings from file, environment and options."""
    return load_config(config, directory=directory, **more)


@app.command()
def join(
    url: Annotated[str, typer.Argument(help="The network's site.")],
    token: Annotated[
        str | None, typer.Option("--token", envvar="MESH_NODE_TOKEN", help="The one-use token from the site.")
    ] = None,
    wallet: Annotated[
        str | None, typer.Option("--host-shards", metavar="WALLET", help="Join as a host of shards by this wallet.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The node's name; this host's.")] = None,
    slots: Annotated[int | None, typer.Option("--slots", min=1, help="Tasks at a time.")] = None,
    directory: Directory = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Enrol this machine with a token; or, without one, as a host of shards with a wallet and its stake."""
    chosen = settings(config, directory, platform_url=url, name=name, slots=slots)
    if wallet is not None:
        join_hosts(chosen, wallet, as_json=as_json)
        return
    if token is None:
        raise typer.BadParameter("Give a token of the site's Register page, or a wallet by --host-shards.")
    say(f"Measuring this host and solving the proof-of-work for {chosen.platform_url} …")
    identity = join_network(chosen, token)
    shown = {"node": identity.node_id, "name": identity.name, "network": identity.network, "lanes": identity.lanes}
    if as_json:
        print_json(shown)
    else:
        print_fields(shown)
        say(f"Enrolled. Start it with: mesh node run --dir {chosen.directory}")


def join_hosts(config: NodeConfig, wallet: str, *, as_json: bool) -> None:
    """Lock the stake from a wallet's account and keep a place among the hosts of shards."""
    key = wallets.load(wallet)
    say(f"Measuring this host and solving the proof-of-work for {config.platform_url} …")
    shown = join_as_host(config, key)
    print_json(shown) if as_json else print_fields(shown)
    say("Joined, and its place is kept. The network hands no work to hosts of shards yet.")


@app.command()
def run(
    directory: Directory = None,
    config: ConfigFile = None,
    transport: Annotated[str | None, typer.Option("--transport", help="celery (broker) or http (long poll).")] = None,
    log_level: Annotated[str | None, typer.Option("--log-level", help="debug, info, warn or error.")] = None,
    health: Annotated[
        str | None, typer.Option("--health", help="Serve /health and /metrics at host:port, or at a port of 127.0.0.1.")
    ] = None,
) -> None:
    """Serve tasks until stopped with Ctrl-C or SIGTERM."""
    chosen = settings(config, directory, transport=transport, log_level=log_level, health=health)
    configure_logging("agent", chosen.log_level)
    Agent(chosen).run()


@app.command()
def drain(directory: Directory = None, config: ConfigFile = None) -> None:
    """Take no new tasks; current ones finish. Undo with `mesh node resume`."""
    set_draining(settings(config, directory), draining=True)


@app.command()
def resume(directory: Directory = None, config: ConfigFile = None) -> None:
    """Take tasks again."""
    set_draining(settings(config, directory), draining=False)


@app.command()
def pause(
    hours: Annotated[
        float, typer.Option("--hours", min=0.0, max=87_600.0, help="For how long; 0 is until resumed.")
    ] = 0.0,
    directory: Directory = None,
    config: ConfigFile = None,
) -> None:
    """Take no tasks for a while: what was not begun is given back. Undo with `mesh node resume`."""
    chosen = settings(config, directory)
    identities.load(chosen.directory)
    until = unix_ms(utcnow() + timedelta(hours=hours)) if hours else 0
    NodeState(chosen.directory).set_fact(limits.PAUSE, {"until": until})
    say(f"Paused for {hours:g} h." if hours else "Paused until `mesh node resume`.")


@app.command("rotate-keys")
def rotate_keys(directory: Directory = None, config: ConfigFile = None, as_json: Json = False) -> None:
    """Change this node's keys and its broker secret; the old ones are refused at once. The agent may be running.

    What the node works on goes to other nodes and counts as nobody's fault.
    """
    chosen = settings(config, directory)
    identity = rotate(chosen.directory)
    key, _ = identities.load_or_make_keys(chosen.directory)
    shown = {"node": identity.node_id, "key": key.kid}
    print_json(shown) if as_json else print_fields(shown)
    say("The keys are changed. A running agent takes them up by itself.")


def model_server(
    listen: Annotated[str, typer.Option("--listen", help="host:port, or a port of 127.0.0.1.")] = "127.0.0.1:50051",
    directory: Directory = None,
    config: ConfigFile = None,
    log_level: Annotated[str | None, typer.Option("--log-level", help="debug, info, warn or error.")] = None,
) -> None:
    """Have the network's models here, verified and working, and say so on a local port."""
    chosen = settings(config, directory, log_level=log_level)
    configure_logging("model-server", chosen.log_level)
    server = ModelServer(chosen)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stopping.set())
    server.serve(listen)


def set_draining(config: NodeConfig, *, draining: bool) -> None:
    """Tell the running agent, which tells the platform with its next heartbeat."""
    identities.load(config.directory)
    state = NodeState(config.directory)
    state.set_fact("draining", draining)
    if not draining:
        state.set_fact(limits.PAUSE, None)
    say("Draining: no new tasks; current ones finish." if draining else "Taking tasks again.")


@app.command()
def status(directory: Directory = None, config: ConfigFile = None, as_json: Json = False) -> None:
    """This node as it knows itself and as the platform sees it."""
    chosen = settings(config, directory)
    identity = identities.load(chosen.directory)
    key, _ = identities.load_or_make_keys(chosen.directory)
    state = NodeState(chosen.directory)
    with NodeApi(identity, key) as api:
        try:
            seen: dict[str, Any] = api.public(identity.node_id)
        except NodeError as error:
            seen = {"status": "unknown", "reason": str(error)}
    shown = {
        "node": identity.node_id,
        "name": identity.name,
        "platform": seen.get("status"),
        "reason": seen.get("reason") or None,
        "next step": seen.get("next_step") or None,
        "draining": state.fact("draining", False),
        "banned": (state.fact("banned") or {}).get("reason"),
        "held by": ", ".join(state.fact(limits.HELD, [])) or None,
        "running": len(state.running()),
        "results to post": len(state.kept_results()),
        "last heartbeat": state.fact("last_heartbeat_at"),
        "clock offset": f"{state.fact('clock_offset_ms', 0)} ms",
    }
    print_json(shown) if as_json else print_fields({k: v for k, v in shown.items() if v is not None})


@app.command()
def probe(as_json: Json = False) -> None:
    """What this host can do, measured; paste it into the application form."""
    report = probe_host()
    print_json(report) if as_json else print_fields(report)


@app.command()
def doctor(directory: Directory = None, config: ConfigFile = None, as_json: Json = False) -> None:
    """Explain what is wrong with this host, each with its next step."""
    checks = examine(settings(config, directory))
    if as_json:
        sys.stdout.write(json.dumps([check.as_dict() for check in checks], indent=2) + "\n")
    for check in checks if not as_json else []:
        words.print(f"{'✓' if check.ok else '✗'} {check.name}: {check.detail}", markup=False)
        if not check.ok:
            words.print(f"  → {check.next_step}", markup=False)
    if not all(check.ok for check in checks):
        raise typer.Exit(6)
