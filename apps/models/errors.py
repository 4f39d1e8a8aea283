"""What the catalogue refuses.

CatalogError
├── ModelUnknown
├── ArtifactUnknown
├── ArtifactMismatch
└── PackageRefused
"""

from apps.core.errors import MeshError


class CatalogError(MeshError):
    """The catalogue cannot do this."""

    code = "catalog_error"


class ModelUnknown(CatalogError):
    """The network offers no model of that name."""

    code = "model_unknown"
    status = 404


class ArtifactUnknown(CatalogError):
    """There is no artifact with that SHA-256."""

    code = "artifact_unknown"
    status = 404


class ArtifactMismatch(CatalogError):
    """The bytes do not have the SHA-256 that was announced."""

    code = "artifact_mismatch"


class PackageRefused(CatalogError):
    """A model's package could not be fetched as data.lock pins it."""

    code = "package_refused"
