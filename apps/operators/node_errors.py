"""What the owner of a node meets.

NodeRefusal (OperatorError)
├── LimitsInvalid
├── ConfirmationMissing
├── RotationRefused
└── NodeEnded
"""

from apps.operators.errors import OperatorError


class NodeRefusal(OperatorError):
    """That cannot be done to this node."""

    code = "node_refusal"


class LimitsInvalid(NodeRefusal):
    """These limits cannot be kept."""

    code = "limits_invalid"
    status = 400


class ConfirmationMissing(NodeRefusal):
    """Nothing was done: type the node's name to revoke it."""

    code = "confirmation_missing"
    status = 400


class RotationRefused(NodeRefusal):
    """The new key did not sign for itself. Run `mesh node rotate-keys` again."""

    code = "rotation_refused"
    status = 400


class NodeEnded(NodeRefusal):
    """A node that is suspended or revoked keeps what it has. Its page says what to do."""

    code = "node_ended"
