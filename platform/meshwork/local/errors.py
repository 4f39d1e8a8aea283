"""What can go wrong on this machine, in words that say what to do.

LocalError
├── DataDirectoryError
├── AccountError
├── PackageMissingError
├── ExternalServiceError
└── ServiceFailedError
"""


class LocalError(Exception):
    """The local stack cannot run. The message says why and what to do."""


class DataDirectoryError(LocalError):
    """The data directory is in use, is not ours, or is open to others."""


class AccountError(LocalError):
    """The system user that runs the embedded services is missing and cannot be made."""


class PackageMissingError(LocalError):
    """An embedded service was asked for, but its package is not installed."""


class ExternalServiceError(LocalError):
    """The service URLs in the environment do not fit together."""


class ServiceFailedError(LocalError):
    """A service or process did not come up. The message holds its last log lines and the log's path."""
