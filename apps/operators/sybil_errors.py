"""What guards against one person who pretends to be many.

OperatorError
├── TooManyAccounts, TooManyJoins
└── WalletUnbound, HostUnknown, HostNameInUse
"""

from apps.operators.errors import OperatorError


class TooManyAccounts(OperatorError):
    """This network address made many accounts lately. Sign up by e-mail, or come back in an hour."""

    code = "too_many_accounts"
    status = 429
    retry_after = 3600


class TooManyJoins(OperatorError):
    """As many machines have joined from this network address within the hour as may. Try again in an hour."""

    code = "too_many_joins"
    status = 429
    retry_after = 3600


class WalletUnbound(OperatorError):
    """No account has this wallet. Run `mesh login --wallet NAME` first: it makes one and claims the faucet's reward."""

    code = "wallet_unbound"


class HostUnknown(OperatorError):
    """You have no active host of that id."""

    code = "host_unknown"
    status = 404


class HostNameInUse(OperatorError):
    """Another of your hosts has this name."""

    code = "host_name_in_use"
