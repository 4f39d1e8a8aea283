"""What risk refuses people.

TradingError
├── StateRefused
└── NotStaff
"""

from apps.trading.errors import TradingError


class StateRefused(TradingError):
    """Trading does not change to that state now."""

    code = "state_refused"
    status = 409


class NotStaff(TradingError):
    """Only staff may change the state of trading."""

    code = "not_staff"
    status = 403
