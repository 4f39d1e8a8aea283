"""Why evidence of a fault is refused: nothing is slashed for it.

EvidenceRefused
├── EvidenceMalformed
├── RoundForeign, RoundChanged
├── AccusedNotSeated, KeyForeign
├── EvidenceUnproven
└── EvidenceExpired
"""

from apps.trading.errors import TradingError


class EvidenceRefused(TradingError):
    """The evidence was refused."""

    code = "evidence_refused"


class EvidenceMalformed(EvidenceRefused):
    """It is not the evidence of two messages, or accuses somebody else than it is filed against."""

    code = "evidence_malformed"


class RoundForeign(EvidenceRefused):
    """It names a round that this network has not had."""

    code = "evidence_round_unknown"


class RoundChanged(EvidenceRefused):
    """The round's committee or time is not what was frozen when it started."""

    code = "evidence_round_changed"


class AccusedNotSeated(EvidenceRefused):
    """Whoever it accuses had no seat in the round."""

    code = "evidence_not_seated"


class KeyForeign(EvidenceRefused):
    """The key of the seat was no key of that owner's node at the time of the round."""

    code = "evidence_key_foreign"


class EvidenceUnproven(EvidenceRefused):
    """The two messages are not both signed by the accused, for one place of the round, with different statements."""

    code = "evidence_unproven"


class EvidenceExpired(EvidenceRefused):
    """It was filed when stake of that time could be back already: the fault was longer ago than unbonding takes."""

    code = "evidence_expired"
