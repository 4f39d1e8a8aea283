"""Which engine runs which model; the last few loaded ones are kept."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from workers.engines.base import Engine, ModelNotServed
from workers.engines.detectors import NAME as DETECTORS
from workers.engines.detectors import Detectors
from workers.engines.ollama import OllamaClient, OllamaGenerate
from workers.engines.onnx_embed import OnnxEmbed
from workers.engines.onnx_generate import OnnxGenerate

KEPT = 2


class Engines:
    """Loads engines by a version's `engine.json`; a version without files is built in or served by a local Ollama."""

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
        if not files and model == DETECTORS:
            return Detectors()
        if not files:
            return OllamaGenerate(model, OllamaClient.at(self.engine_address))
        if not {"model.onnx", "tokenizer.json", "engine.json"} <= set(files):
            raise ModelNotServed(f"No engine here runs {model}.")
        settings = json.loads(files["engine.json"].read_text())
        if settings["engine"] == "onnx-embed":
            return OnnxEmbed(model, files, max_tokens=int(settings["max_tokens"]))
        if settings["engine"] == "onnx-generate":
            return OnnxGenerate(model, files, context=int(settings["max_tokens"]), end=int(settings["end"]))
        raise ModelNotServed(f"{model} needs the engine {settings['engine']}, which is not here.")
