"""What slashes and appeals against them meet.

SlashError
├── FaultKnown
├── SlashUnknown
└── SlashAppealMissing, SlashAppealed, SlashAppealClosed, SelfAppeal
"""

from apps.operators.errors import OperatorError


class SlashError(OperatorError):
    """That cannot be done about a slash."""

    code = "slash_error"


class FaultKnown(SlashError):
    """That fault was slashed already, on other evidence. A fault is slashed once."""

    code = "fault_known"


class SlashUnknown(SlashError):
    """There is no such slash of your stake. The page of stake and rewards lists those there are."""

    code = "slash_unknown"
    status = 404


class SlashAppealMissing(SlashError):
    """Write what speaks against the slash."""

    code = "slash_appeal_missing"
    status = 400


class SlashAppealed(SlashError):
    """You have appealed against this slash already. Staff answer here and by mail."""

    code = "slash_appealed"


class SlashAppealClosed(SlashError):
    """This appeal was answered already."""

    code = "slash_appeal_closed"


class SelfAppeal(SlashError):
    """Nobody decides on a slash of their own stake. Ask another admin."""

    code = "self_appeal"
    status = 403
