"""Trading's part of the node API in the OpenAPI description; see apps.pool.node_api.schema."""

from typing import Any

from apps.pool.node_api.schema import PREFIX, Operation, fields, listed, parameter, signed, words


def paths() -> dict[str, dict[str, Operation]]:
    """Its addresses, relative to the node API's prefix."""
    of_round = [parameter("round_id", "path", {"type": "string"})]
    received = fields(status="string", refused=listed({"type": "object"}), missed=listed({"type": "object"}))
    return {
        "/consensus/{round_id}": signed(
            "consensus",
            "consensus.messages",
            "An oracle's signed steps of a round; answered by what was refused and, where asked, what it missed.",
            received,
            parameters=of_round,
        ),
        "/consensus/{round_id}/prediction": signed(
            "prediction",
            "consensus.prediction",
            "What the served model says of the market, as this oracle ran it.",
            fields(status=words("stored", "duplicate")),
            parameters=of_round,
        ),
        "/scans": signed(
            "scan", "scan.result", "A measured path.", fields(status=words("stored", "failed"))
        ),
    }  # fmt: skip


def add_trading(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A postprocessing hook: the schema with trading's addresses of the node API in it."""
    for path, operations in paths().items():
        result.setdefault("paths", {})[f"{PREFIX}{path}"] = operations
    return result
