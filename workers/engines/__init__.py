"""What runs a model on a node's host: one small interface, one engine a kind of model.

EngineError
├── ModelNotServed
├── PayloadRefused
└── EngineUnavailable
"""

from workers.engines.base import Engine, EngineError, EngineResult, EngineUnavailable, ModelNotServed, PayloadRefused
from workers.engines.registry import Engines

__all__ = [
    "Engine",
    "EngineError",
    "EngineResult",
    "EngineUnavailable",
    "Engines",
    "ModelNotServed",
    "PayloadRefused",
]
