"""Every limit on trading, enforced in one place: before consensus and again before every order."""

from apps.trading.risk.decide import check_order, decide_signal
from apps.trading.risk.exits import exits_due
from apps.trading.risk.sizing import exit_prices

__all__ = ["check_order", "decide_signal", "exit_prices", "exits_due"]
