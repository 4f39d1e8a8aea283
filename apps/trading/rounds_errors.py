"""What consensus rounds refuse.

RoundRefused
├── CommitteeTooSmall
├── SubjectRefused
├── RoundUnknown
├── RoundMismatch
├── NotSeated
└── PredictionRefused
"""

from apps.trading.errors import RoundRefused


class CommitteeTooSmall(RoundRefused):
    """Too few oracles can vote: a round needs four owners."""

    code = "committee_too_small"
    status = 409


class SubjectRefused(RoundRefused):
    """What the oracles are to be asked cannot be signed."""

    code = "subject_refused"


class RoundUnknown(RoundRefused):
    """There is no round of that id."""

    code = "round_unknown"
    status = 404


class RoundMismatch(RoundRefused):
    """The address names another round than the signed message."""

    code = "round_mismatch"


class NotSeated(RoundRefused):
    """This node has no seat in the round."""

    code = "not_seated"
    status = 403


class PredictionRefused(RoundRefused):
    """The prediction is not one."""

    code = "prediction_refused"
