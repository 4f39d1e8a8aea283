"""Refusals of the node API.

NodeApiError
├── BodyTooLarge, BodyMalformed
├── SignatureRequired
├── TokenRequired
├── NodeRevoked, NodeSuspended, KeyRetired
├── NodeUnknown, TaskUnknown
├── TaskMismatch
├── KeyRequired
├── ResultNotReady
└── Unavailable
"""

from apps.core.errors import MeshError
from workers.protocol.errors import ProtocolError

STATUSES = {
    "envelope_too_large": 413,
    "unknown_key": 404,
    "bad_signature": 401,
    "wrong_sender": 401,
    "expired": 401,
    "not_yet_valid": 401,
    "wrong_network": 403,
    "wrong_recipient": 403,
    "wrong_kind": 403,
    "replayed": 409,
}


def status_of(error: ProtocolError) -> int:
    """The HTTP status of a refused message; 400 for what is malformed."""
    return STATUSES.get(error.code, 400)


class NodeApiError(MeshError):
    """The node API refuses that."""

    code = "node_api_error"


class BodyTooLarge(NodeApiError):
    """The request is larger than this address takes."""

    code = "body_too_large"
    status = 413


class BodyMalformed(NodeApiError):
    """The request does not hold the JSON that this address takes."""

    code = "body_malformed"


class SignatureRequired(NodeApiError):
    """This address takes a signed envelope (DSSE) and nothing else: nodes are known by their keys."""

    code = "signature_required"
    status = 401


class TokenRequired(NodeApiError):
    """Registering needs an enrolment token. Its operator makes one on the site's Register page; then run
    `mesh node join` on the machine."""

    code = "token_required"
    status = 401

    def __init__(self) -> None:
        super().__init__(" ".join((self.__doc__ or "").split()))


class NodeRevoked(NodeApiError):
    """This node was revoked. Enrol the machine again with a new token."""

    code = "node_revoked"
    status = 403


class NodeSuspended(NodeApiError):
    """This node is suspended and gets no work."""

    code = "node_suspended"
    status = 403


class KeyRetired(NodeApiError):
    """The node has other keys now, and these are refused. Run `mesh node rotate-keys` again on the machine that has
    the new ones, or revoke the node if that was not you."""

    code = "key_retired"
    status = 401

    def __init__(self) -> None:
        super().__init__(" ".join((self.__doc__ or "").split()))


class NodeUnknown(NodeApiError):
    """There is no node of that id."""

    code = "node_unknown"
    status = 404


class TaskUnknown(NodeApiError):
    """There is no task of that id."""

    code = "task_unknown"
    status = 404


class TaskMismatch(NodeApiError):
    """The address names another task than the signed message."""

    code = "task_mismatch"


class KeyRequired(NodeApiError):
    """This needs an API key: `Authorization: Bearer mk_…`."""

    code = "api_key_required"
    status = 401


class ScopeMissing(NodeApiError):
    """The API key lacks the scope that this needs."""

    code = "scope_missing"
    status = 403


class Unavailable(NodeApiError):
    """A service that this needs does not answer. Try again in a moment."""

    code = "unavailable"
    status = 503
    retry_after = 2
