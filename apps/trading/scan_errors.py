"""Why scans and signals are refused.

ScanRefused
├── ScanFromFuture, ScanTooOld
├── RttInvalid, HopsInvalid
├── TargetUnknown
├── MethodUnknown
├── ScanForged, ScanNotAsked
└── ScanDiffers
SignalRefused
├── SignalWeak, SignalInvalid
└── PairUnknown
ReplayRunning
ReporterRefused
"""

from apps.trading.errors import ScanRefused, SignalRefused, TradingError


class ScanFromFuture(ScanRefused):
    """The scan was measured in the future. Correct the clock."""

    code = "scan_from_future"


class ScanTooOld(ScanRefused):
    """The scan is too old to say anything of the path now."""

    code = "scan_too_old"


class RttInvalid(ScanRefused):
    """A round-trip time is a number of milliseconds from 0 to 60,000."""

    code = "rtt_invalid"


class HopsInvalid(ScanRefused):
    """The hops are not a path: places from 1 on, each once, with an address or none."""

    code = "hops_invalid"


class TargetUnknown(ScanRefused):
    """No such host is watched."""

    code = "target_unknown"
    status = 404


class MethodUnknown(ScanRefused):
    """A scan is by udp or icmp."""

    code = "method_unknown"


class ScanForged(ScanRefused):
    """The scan is not the one that this node was asked for."""

    code = "scan_forged"
    status = 403


class ScanNotAsked(ScanRefused):
    """Nobody asked for this scan."""

    code = "scan_not_asked"
    status = 404


class ScanDiffers(ScanRefused):
    """Another scan of that path and moment is stored already."""

    code = "scan_differs"
    status = 409


class SignalWeak(SignalRefused):
    """The confidence is below the least that is stored."""

    code = "signal_weak"
    status = 422


class SignalInvalid(SignalRefused):
    """The signal is malformed."""

    code = "signal_invalid"


class PairUnknown(SignalRefused):
    """No watched host stands for that pair."""

    code = "pair_unknown"
    status = 404


class ReplayRunning(TradingError):
    """The market's time is a recording's: what is measured now is not mixed with it. Try again when it has ended."""

    code = "replay_running"
    status = 409


class ReporterRefused(TradingError):
    """Measurements are taken from approved operators and staff only. Apply on the site's Operators page."""

    code = "reporter_refused"
    status = 403
