"""What guards against one person who pretends to be many.

OperatorError
└── TooManyAccounts, TooManyJoins
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
