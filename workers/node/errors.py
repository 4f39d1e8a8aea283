"""What can go wrong on a node's host.

NodeError
├── ConfigRefused
├── ListenRefused
├── NotEnrolled
├── AlreadyEnrolled
├── PlatformRefused
├── PlatformUnreachable
├── TrustBroken
├── TaskRefused
└── ScanFailed
"""


class NodeError(Exception):
    """The node cannot do this."""

    code = "node_error"
    exit_code = 1

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (self.__doc__ or "").strip().split("\n")[0]
        super().__init__(self.detail)


class ConfigRefused(NodeError):
    """A setting is missing or wrong."""

    code = "config_refused"
    exit_code = 2


class ListenRefused(NodeError):
    """The local address cannot be listened on."""

    code = "listen_refused"
    exit_code = 6


class NotEnrolled(NodeError):
    """This directory holds no enrolled node. Run `mesh node join` first."""

    code = "not_enrolled"
    exit_code = 6


class AlreadyEnrolled(NodeError):
    """This directory already holds an enrolled node. Use another --dir, or remove this one first."""

    code = "already_enrolled"
    exit_code = 6


class PlatformRefused(NodeError):
    """The platform refused the request."""

    code = "platform_refused"

    def __init__(self, status: int, code: str, detail: str) -> None:
        self.status = status
        self.code = code
        self.exit_code = {401: 4, 403: 4, 404: 3}.get(status, 1)
        super().__init__(detail)


class PlatformUnreachable(NodeError):
    """The platform did not answer."""

    code = "platform_unreachable"
    exit_code = 5


class TrustBroken(NodeError):
    """What answered does not hold the key that this node was told to trust."""

    code = "trust_broken"
    exit_code = 4


class TaskRefused(NodeError):
    """The task cannot be run on this node."""

    code = "task_refused"

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


class ScanFailed(NodeError):
    """The path to the host cannot be measured from here."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.exit_code = {"host_invalid": 2, "method_unknown": 2, "not_permitted": 6, "not_supported": 6}.get(code, 5)
        super().__init__(detail)
