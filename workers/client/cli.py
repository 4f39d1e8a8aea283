"""The `mesh` command line: `mesh <noun> <verb>`, with short forms for the verbs of jobs.

Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 denied, 5 network, 6 unmet requirement, 130 interrupted.
"""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from workers.client import (
    account_commands,
    audit_commands,
    job_commands,
    money_commands,
    node_commands,
    scan_command,
    verify_command,
    wallet_commands,
)
from workers.client.errors import ClientError
from workers.client.output import print_json, words
from workers.node.errors import NodeError
from workers.protocol.errors import ProtocolError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Meshwork: run a node, submit jobs, check receipts.",
)
app.add_typer(node_commands.app, name="node", help="Run a node on this machine.")
app.add_typer(job_commands.app, name="job", help="Submit jobs and read their results.")
for command in ("send", "stake", "unstake", "mandate", "mandates", "revoke"):
    wallet_commands.wallet.command(command)(getattr(money_commands, command))
app.add_typer(wallet_commands.wallet, name="wallet", help="Ed25519 wallets.")
app.add_typer(audit_commands.app, name="audit", help="Check the ledger yourself.")
app.command("login")(account_commands.login)
app.command("logout")(account_commands.logout)
app.command("me")(account_commands.me)
app.command("models")(job_commands.models)
app.command("submit")(job_commands.submit)
app.command("status")(job_commands.status)
app.command("result")(job_commands.result)
app.command("cancel")(job_commands.cancel)
app.command("receipt")(job_commands.receipt)
app.command("verify")(verify_command.verify)
app.command("scan")(scan_command.scan)
app.command("model-server")(node_commands.model_server)


def show_version(wanted: bool) -> None:
    """`--version`."""
    if wanted:
        sys.stdout.write(f"mesh {version('meshwork')}\n")
        raise typer.Exit


@app.callback()
def options(
    shown: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Meshwork: run a node, submit jobs, check receipts."""


def fail(code: str, message: str, exit_code: int) -> int:
    """Say what went wrong; as JSON too where `--json` was asked for."""
    if "--json" in sys.argv:
        print_json({"error": {"code": code, "detail": message}})
    words.print(f"mesh: {message} [{code}]", markup=False)
    return exit_code


def main() -> None:
    """Entry of the console script."""
    try:
        app(standalone_mode=True)
    except (ClientError, NodeError) as error:
        sys.exit(fail(error.code, str(error), error.exit_code))
    except ProtocolError as error:
        sys.exit(fail(error.code, str(error), 1))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
