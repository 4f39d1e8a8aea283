"""What trading refuses, each with its stable code.

TradingError
├── ScanRefused
├── SignalRefused
├── CandleRefused
├── RoundRefused
├── OrderRefused
└── LiveRefused
"""

from apps.core.errors import MeshError


class TradingError(MeshError):
    """Trading refused this."""

    code = "trading_refused"
    status = 400


class ScanRefused(TradingError):
    """The scan was refused."""

    code = "scan_refused"


class SignalRefused(TradingError):
    """The signal was refused."""

    code = "signal_refused"


class CandleRefused(TradingError):
    """The candle was refused."""

    code = "candle_refused"


class RoundRefused(TradingError):
    """The consensus message was refused."""

    code = "round_refused"


class OrderRefused(TradingError):
    """The order was refused."""

    code = "order_refused"
    status = 409


class LiveRefused(TradingError):
    """Live trading does not start: paper mode is the only one there is until the go-live checklist passed."""

    code = "live_refused"
    status = 409
