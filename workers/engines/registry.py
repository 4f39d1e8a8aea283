"""Which engine runs which model; the last few loaded ones are kept."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from workers.engines.base import Engine, ModelNotServed
from workers.engines.onnx_embed import OnnxEmbed

KEPT = 2


class Engines:
    """Loads engines by the files of a model's version: `model.onnx`, `model.gguf`, or none for a local Ollama."""

    def __init__(self, engine_address: str = "127.0.0.1:11434") -> None:
        self.engine_address = engine_address
        self._loaded: OrderedDict[tuple[str, str], Engine] = OrderedDict()

    def get(self, model: str, version: str, files: Mapping[str, Path]) -> Engine:
        """The loaded engine of a version. Raises ModelNotServed."""
        key = (model, version)
        if key not in self._loaded:
            self._loaded[key] = self._load(model, files)
            while len(self._loaded) > KEPT:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(key)
        return self._loaded[key]

    def _load(self, model: str, files: Mapping[str, Path]) -> Engine:
        if "model.onnx" in files:
            settings = json.loads(files["engine.json"].read_text()) if "engine.json" in files else {}
            return OnnxEmbed(model, files, max_tokens=int(settings.get("max_tokens", 256)))
        raise ModelNotServed(f"No engine here runs {model}.")
