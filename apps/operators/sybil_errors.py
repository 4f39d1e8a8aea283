"""What guards against one person who pretends to be many.

OperatorError
├── TooManyAccounts
"""

from apps.operators.errors import OperatorError


class TooManyAccounts(OperatorError):
    """This network address made many accounts lately. Sign up by e-mail, or come back in an hour."""

    code = "too_many_accounts"
    status = 429
    retry_after = 3600
