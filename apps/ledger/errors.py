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
│   ├── RewardUnknown
│   └── RewardNotEarned, ShardNotHosted
├── GrantRefused
├── GenesisError
│   ├── GenesisMissing
│   └── GenesisDiffers
├── OrderError
│   ├── OrderMalformed, WrongNetwork, WrongPurpose
│   ├── SignerUnknown, ForeignAccount, SignatureInvalid
│   └── OrderExpired, NonceWrong
├── PayeeUnknown
├── StakeError
│   ├── StakeExceeded, UnbondingUnknown, UnbondingOver
│   └── FaultDiffers, SlashFinal
├── MandateError
│   ├── MandateUnknown, MandateDiffers
│   └── MandateRevoked, MandateExpired, MandateExceeded
├── AuditRunning, NotSealed, NotExported
└── AmountMalformed
    └── AmountNotPositive, AmountTooPrecise, AmountTooLarge
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


class RewardNotEarned(FaucetError):
    """This reward is not earned yet."""

    code = "reward_not_earned"


class ShardNotHosted(RewardNotEarned):
    """You host no shard of a model yet. The reward can be claimed once a node of yours hosts one."""

    code = "shard_not_hosted"


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


class AmountNotPositive(AmountMalformed):
    """An amount that moves is more than nothing."""

    code = "amount_not_positive"


class AmountTooPrecise(AmountMalformed):
    """A MESH has eight decimals and no more."""

    code = "amount_too_precise"


class AmountTooLarge(AmountMalformed):
    """There will never be more than 21,000,000 MESH."""

    code = "amount_too_large"


class OrderError(LedgerError):
    """The signed order is refused."""

    code = "order_error"


class OrderMalformed(OrderError):
    """The order lacks a field, has one too many, or one of the wrong type."""

    code = "order_malformed"


class WrongNetwork(OrderError):
    """The order was signed for another network."""

    code = "wrong_network"


class WrongPurpose(OrderError):
    """The order was signed for another purpose."""

    code = "wrong_purpose"


class SignerUnknown(OrderError):
    """No account is bound to that wallet. Bind it on the Wallet page or with `mesh wallet new`."""

    code = "signer_unknown"
    status = 404


class ForeignAccount(OrderError):
    """The wallet that signed is bound to another account."""

    code = "foreign_account"
    status = 403


class SignatureInvalid(OrderError):
    """The signature is not the wallet's over this order."""

    code = "signature_invalid"


class OrderExpired(OrderError):
    """The order's deadline has passed. Sign a new one."""

    code = "order_expired"
    status = 409


class NonceWrong(OrderError):
    """The order does not bear the wallet's next nonce. Ask for it and sign again."""

    code = "nonce_wrong"
    status = 409


class PayeeUnknown(LedgerError):
    """There is nobody with that wallet or account. Check the address with its owner."""

    code = "payee_unknown"
    status = 404


class StakeError(LedgerError):
    """That cannot be done with the stake."""

    code = "stake_error"
    status = 409


class StakeExceeded(StakeError):
    """You have less than that at stake, apart from what is being taken back already."""

    code = "stake_exceeded"


class UnbondingUnknown(StakeError):
    """You have no stake on its way out under that id."""

    code = "unbonding_unknown"
    status = 404


class UnbondingOver(StakeError):
    """That stake was released, kept or slashed already."""

    code = "unbonding_over"


class FaultDiffers(StakeError):
    """That fault was slashed already, of another owner or at another share."""

    code = "fault_differs"


class SlashFinal(StakeError):
    """The time for an appeal is over, or the slash was decided already. Nothing can change it any more."""

    code = "slash_final"


class MandateError(LedgerError):
    """The mandate does not allow that."""

    code = "mandate_error"
    status = 403


class MandateUnknown(MandateError):
    """There is no such mandate, or it is not given to you."""

    code = "mandate_unknown"
    status = 404


class MandateDiffers(MandateError):
    """A mandate with that id exists and has other content. Choose another id."""

    code = "mandate_differs"
    status = 409


class MandateRevoked(MandateError):
    """The mandate was revoked. Ask its wallet for a new one."""

    code = "mandate_revoked"


class MandateExpired(MandateError):
    """The mandate has expired. Ask its wallet for a new one."""

    code = "mandate_expired"


class MandateExceeded(MandateError):
    """The mandate's cap does not cover that."""

    code = "mandate_exceeded"
    status = 402


class AuditRunning(LedgerError):
    """An audit is under way. Its report stands on the audit's page once it is done."""

    code = "audit_running"
    status = 409


class NotSealed(LedgerError):
    """The transfer waits for its block. Ask again once it is sealed."""

    code = "not_sealed"
    status = 409


class NotExported(LedgerError):
    """There is no export yet. One is made with each night's audit, and when staff ask for an audit."""

    code = "not_exported"
    status = 404
