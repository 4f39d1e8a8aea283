"""Refusals of the consensus core, each with its stable code.

ConsensusError
├── CommitteeRefused
├── ObservationRefused
├── DoubleSign
└── Refused             (one message; `code` says why)
"""


class ConsensusError(Exception):
    """The consensus core refuses."""

    code = "consensus_error"

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (self.__doc__ or "").strip().split("\n")[0]
        super().__init__(self.detail)


class CommitteeRefused(ConsensusError):
    """These members cannot form a committee."""

    code = "committee_refused"


class ObservationRefused(ConsensusError):
    """The observation does not have the shape of one."""

    code = "observation_refused"


class DoubleSign(ConsensusError):
    """Something else was signed, or about to be signed, for this round, view and step."""

    code = "double_sign"


class Refused(ConsensusError):
    """A message is refused; nothing changed. `code` is stable and is what machines count refusals by."""

    def __init__(self, code: str, detail: str | None = None) -> None:
        super().__init__(detail or code.replace("_", " "))
        self.code = code
