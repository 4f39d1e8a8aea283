"""What operators meet.

OperatorError
├── ApplicationClosed, ReasonMissing, SelfReview, ApplicantGone, TierFull, ProbeRefused
├── NotApproved, StakeMissing, StakeLocked, StakeBelowTier, NodesEnrolled
├── TokenInvalid, TokenUsed, TokenExpired
├── ChallengeInvalid, PowInvalid, NameInvalid, KeyInvalid, KeyInUse, NameInUse, TooManyNodes
├── NodeMoveRefused
├── WalletRefused, WalletInUse, WalletMissing
├── BanError
│   ├── AccountBanned, NodeBanned, AddressBanned
│   └── AlreadyBanned, BanInvalid, BanOver, SelfBan, AppealMissing, AppealClosed
├── KeyRefused
│   └── KeyUnknown, KeyRevoked, KeyExpired ← LoginExpired
└── LoginRefused, SecondFactorNeeded, TooManyAttempts, TooManyWrongPasswords
"""

from apps.core.errors import MeshError


class OperatorError(MeshError):
    """That cannot be done."""

    code = "operator_error"
    status = 409


class ApplicationClosed(OperatorError):
    """The application has been decided, or is being reviewed, and cannot be changed now."""

    code = "application_closed"


class ReasonMissing(OperatorError):
    """Say why: whom it concerns reads it. A rejection also names the criterion that was not met."""

    code = "reason_missing"
    status = 400


class SelfReview(OperatorError):
    """Nobody reviews their own application. Ask another admin."""

    code = "self_review"
    status = 403


class ApplicantGone(OperatorError):
    """The applicant's account was deleted or closed. There is nothing to review."""

    code = "applicant_gone"


class TierFull(OperatorError):
    """The tier has as many operators as the network allows. Wait until one leaves, or choose another tier."""

    code = "tier_full"


class ProbeRefused(OperatorError):
    """That is no report of `mesh node probe --json`. Run it on the machine and copy all that it prints."""

    code = "probe_refused"
    status = 400


class NotApproved(OperatorError):
    """Only approved operators can do this. Apply first."""

    code = "not_approved"
    status = 403


class StakeMissing(OperatorError):
    """The tier's stake is not locked yet."""

    code = "stake_missing"


class StakeLocked(OperatorError):
    """The stake is locked already."""

    code = "stake_locked"


class StakeBelowTier(OperatorError):
    """That much stands behind your machines. Take back less, or revoke them and take back everything."""

    code = "stake_below_tier"


class NodesEnrolled(OperatorError):
    """The stake stands behind your machines. Revoke them first."""

    code = "nodes_enrolled"


class TokenInvalid(OperatorError):
    """The enrolment token is not one of this network. Make a new one on the Register page."""

    code = "token_invalid"
    status = 401


class TokenUsed(OperatorError):
    """The enrolment token was used before. Make a new one on the Register page."""

    code = "token_used"
    status = 401


class TokenExpired(OperatorError):
    """The enrolment token has expired. Make a new one on the Register page."""

    code = "token_expired"
    status = 401


class ChallengeInvalid(OperatorError):
    """The challenge was not made for this token, or has expired."""

    code = "challenge_invalid"
    status = 400


class PowInvalid(OperatorError):
    """The proof-of-work does not solve the challenge."""

    code = "pow_invalid"
    status = 400


class NameInvalid(OperatorError):
    """A node's name is up to 40 letters, digits, dots, dashes and underscores, beginning with a letter or digit."""

    code = "name_invalid"
    status = 400


class KeyInvalid(OperatorError):
    """A node's keys are 32 bytes each, in base64."""

    code = "key_invalid"
    status = 400


class KeyInUse(OperatorError):
    """Another node has this key."""

    code = "key_in_use"


class NameInUse(OperatorError):
    """Another of your nodes has this name."""

    code = "name_in_use"


class TooManyNodes(OperatorError):
    """You have as many nodes as the network allows one operator."""

    code = "too_many_nodes"


class NodeMoveRefused(OperatorError):
    """The node cannot go to that state from the one it is in."""

    code = "node_move_refused"


class WalletRefused(OperatorError):
    """The wallet's signature does not fit the challenge, or the challenge has expired."""

    code = "wallet_refused"
    status = 400


class WalletInUse(OperatorError):
    """The wallet is bound to another account."""

    code = "wallet_in_use"


class WalletMissing(OperatorError):
    """The faucet pays to accounts with a wallet. Make one with `mesh wallet new`."""

    code = "wallet_missing"


class LoginRefused(OperatorError):
    """E-mail and password do not fit an account."""

    code = "login_refused"
    status = 401


class SecondFactorNeeded(OperatorError):
    """This account has a second factor. Make an API key on the site and use `mesh login --key`."""

    code = "second_factor_needed"
    status = 403


class TooManyAttempts(OperatorError):
    """Too many attempts. Wait a minute."""

    code = "too_many_attempts"
    status = 429
    retry_after = 60


class TooManyWrongPasswords(TooManyAttempts):
    """Too many wrong passwords. Wait five minutes."""

    retry_after = 300


class BanError(OperatorError):
    """That does not go with a ban."""

    code = "ban_error"


class AccountBanned(BanError):
    """This account is banned. Its page of bans on the site says why, and how to appeal."""

    code = "account_banned"
    status = 403


class NodeBanned(BanError):
    """This node is banned. The site's page of bans says why, and how to appeal."""

    code = "node_banned"
    status = 403


class AddressBanned(BanError):
    """This address is banned. The site's page of bans says why, and how to appeal."""

    code = "address_banned"
    status = 403


class AlreadyBanned(BanError):
    """A ban of that stands already. Lift it first if it should be another one."""

    code = "already_banned"


class BanInvalid(BanError):
    """An address is a wallet's 64 hex digits, or 0x and 40 hex digits of Ethereum."""

    code = "ban_invalid"
    status = 400


class BanOver(BanError):
    """That ban does not stand any more."""

    code = "ban_over"


class SelfBan(BanError):
    """Nobody decides on a ban that concerns themselves. Ask another admin."""

    code = "self_ban"
    status = 403


class AppealMissing(BanError):
    """Write what speaks against the ban."""

    code = "appeal_missing"
    status = 400


class AppealClosed(BanError):
    """This appeal was answered, or another one waits, or there were as many as a ban allows."""

    code = "appeal_closed"


class KeyRefused(OperatorError):
    """The API key is refused."""

    code = "api_key_refused"
    status = 401
    challenge = "Bearer"


class KeyUnknown(KeyRefused):
    """The API key is unknown. Make one on the site's page of API keys."""

    code = "api_key_invalid"


class KeyRevoked(KeyRefused):
    """The API key was revoked. Make a new one on the site's page of API keys."""

    code = "api_key_revoked"


class KeyExpired(KeyRefused):
    """The API key has expired. Make a new one on the site's page of API keys."""

    code = "api_key_expired"


class LoginExpired(KeyExpired):
    """The login of this command line has expired. Run `mesh login` again."""

    code = "login_expired"
