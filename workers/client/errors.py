"""What a client meets; each carries the exit code of the command line.

ClientError
├── Refused          (the platform's problem document)
├── Unreachable
├── NotLoggedIn
├── WalletUnknown, WalletExists, WalletNameRefused, FileRefused
└── TimedOut
"""

from typing import Any


class ClientError(Exception):
    """The request failed."""

    code = "client_error"
    exit_code = 1


class Refused(ClientError):
    """The platform refused the request."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code", f"http_{status}"))
        self.exit_code = {401: 4, 403: 4, 404: 3, 402: 6, 409: 6, 422: 2}.get(status, 1)
        faults = "; ".join(f"{e.get('pointer')}: {e.get('detail')}" for e in problem.get("errors", []))
        super().__init__(str(problem.get("detail", status)) + (f" ({faults})" if faults else ""))


class Unreachable(ClientError):
    """The platform did not answer."""

    code = "unreachable"
    exit_code = 5


class NotLoggedIn(ClientError):
    """No API key. Run `mesh login`, or set MESH_API_KEY."""

    code = "not_logged_in"
    exit_code = 4


class TimedOut(ClientError):
    """The job did not finish in time. It goes on; ask again with `mesh result`."""

    code = "timed_out"
    exit_code = 5


class WalletUnknown(ClientError):
    """There is no wallet of that name on this machine."""

    code = "wallet_unknown"
    exit_code = 3


class WalletExists(ClientError):
    """Another wallet has that name on this machine."""

    code = "wallet_exists"
    exit_code = 6


class WalletNameRefused(ClientError):
    """A wallet's name is up to 40 letters, digits, dots, dashes and underscores, beginning with a letter or digit."""

    code = "wallet_name_refused"
    exit_code = 2


class FileRefused(ClientError):
    """The file cannot be read."""

    code = "file_refused"
    exit_code = 2
