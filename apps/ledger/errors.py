"""Errors of the ledger.

LedgerError
├── PostingRefused          code is the first refused transfer's
│   └── InsufficientFunds
├── HoldError
│   ├── HoldUnknown
│   ├── HoldDiffers
│   ├── HoldClosed
│   └── HoldExceeded
├── FaucetError
│   ├── FaucetClosed
│   ├── FaucetClaimed
│   ├── FaucetEmpty
│   └── RewardUnknown
├── GrantRefused
├── GenesisError
│   ├── GenesisMissing
│   └── GenesisDiffers
└── AmountMalformed
"""

from apps.core.errors import MeshError


class LedgerError(MeshError):
    """The ledger refused that."""

    code = "ledger_error"


class PostingRefused(LedgerError):
    """The transfers were refused, and nothing was posted."""

    code = "posting_refused"
    status = 409

    def __init__(self, detail: str | None = None, *, code: str | None = None) -> None:
        super().__init__(detail)
        if code is not None:
            self.code = code


class InsufficientFunds(PostingRefused):
    """The account does not hold that much."""

    code = "insufficient_funds"
    status = 402

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail)


class HoldError(LedgerError):
    """The hold cannot be changed so."""

    code = "hold_error"
    status = 409


class HoldUnknown(HoldError):
    """There is no hold with that id."""

    code = "hold_unknown"
    status = 404


class HoldDiffers(HoldError):
    """A hold with that id exists and has other content."""

    code = "hold_differs"


class HoldClosed(HoldError):
    """The hold was already settled, voided or expired."""

    code = "hold_closed"


class HoldExceeded(HoldError):
    """The settlement asks for more than the hold has left."""

    code = "hold_exceeded"


class FaucetError(LedgerError):
    """The faucet gives nothing for that."""

    code = "faucet_error"
    status = 409


class FaucetClosed(FaucetError):
    """This network has no faucet; only test networks give tokens away."""

    code = "faucet_closed"
    status = 403


class FaucetClaimed(FaucetError):
    """This reward is given once, and it was given to you already."""

    code = "faucet_claimed"


class FaucetEmpty(FaucetError):
    """The faucet is empty until the network refills it."""

    code = "faucet_empty"
    status = 503


class RewardUnknown(FaucetError):
    """The faucet has no such reward."""

    code = "reward_unknown"
    status = 404


class GrantRefused(LedgerError):
    """Only staff of a test network grant tokens from the treasury."""

    code = "grant_refused"
    status = 403


class GenesisError(LedgerError):
    """The chain's first block is not what it should be."""

    code = "genesis_error"
    status = 503


class GenesisMissing(GenesisError):
    """This network has no genesis yet. Run `meshwork genesis`."""

    code = "genesis_missing"


class GenesisDiffers(GenesisError):
    """This network already has another genesis."""

    code = "genesis_differs"
    status = 409


class AmountMalformed(LedgerError):
    """An amount is a number of MESH with at most eight decimals."""

    code = "amount_malformed"
