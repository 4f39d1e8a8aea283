"""What wallets and Ethereum addresses meet.

OperatorError
├── EmailMissing
├── WalletUnknown, WalletLast, WalletRemoved
├── AddressInUse, NodeNotOwn, TooManyBindings
└── WalletRefused
    ├── AddressMalformed
    ├── ProofMalformed, ProofWrongNetwork, ProofWrongPurpose, ProofForeign
    ├── SignatureWrong
    └── ChallengeUnknown, ChallengeExpired, ChallengeUsed
"""

from apps.operators.errors import OperatorError, WalletRefused


class EmailMissing(OperatorError):
    """Operators are written to: add an e-mail address to your account first."""

    code = "email_missing"


class WalletUnknown(OperatorError):
    """Your account has no such wallet."""

    code = "wallet_unknown"
    status = 404


class WalletLast(OperatorError):
    """It is the only way into this account. Add an e-mail address or another wallet first."""

    code = "wallet_last"


class WalletRemoved(OperatorError):
    """This wallet was removed from its account. Sign in another way, and bind it again there."""

    code = "wallet_removed"
    status = 403


class AddressInUse(OperatorError):
    """The Ethereum address belongs to another account."""

    code = "address_in_use"


class NodeNotOwn(OperatorError):
    """Only the owner of a node that is not revoked binds an address to it."""

    code = "node_not_own"
    status = 403


class TooManyBindings(OperatorError):
    """This address has as many nodes as the network allows one address. Unbind one, or use another address."""

    code = "too_many_bindings"


class AddressMalformed(WalletRefused):
    """That is not an Ethereum address: 0x and 40 hex digits."""

    code = "address_malformed"


class ProofMalformed(WalletRefused):
    """That is not a signed challenge: a public key, a signature and the message, as the challenge was given."""

    code = "proof_malformed"


class ProofWrongNetwork(WalletRefused):
    """The message was signed for another network."""

    code = "proof_wrong_network"
    status = 403


class ProofWrongPurpose(WalletRefused):
    """The message was signed for another purpose than this. Ask for a new challenge."""

    code = "proof_wrong_purpose"
    status = 403


class ProofForeign(WalletRefused):
    """The challenge was made for another account. Ask for a new one."""

    code = "proof_foreign"
    status = 403


class SignatureWrong(WalletRefused):
    """The signature does not fit the message and the key."""

    code = "signature_wrong"


class ChallengeUnknown(WalletRefused):
    """The challenge is none of ours, or was changed, or is long over. Ask for a new one."""

    code = "challenge_unknown"


class ChallengeExpired(WalletRefused):
    """The challenge has expired. Ask for a new one."""

    code = "challenge_expired"


class ChallengeUsed(WalletRefused):
    """The challenge was used before. Ask for a new one."""

    code = "challenge_used"
