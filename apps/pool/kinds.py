"""The registry of task kinds: what a job of each kind takes, how it is split, checked and joined.

Apps above the pool register theirs in `AppConfig.ready`.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.core import parameters
from apps.pool import chunking
from apps.pool.errors import InputRefused, KindUnknown
from workers.protocol import canonical
from workers.protocol.errors import FrameMalformed
from workers.protocol.frames import decode_tensors

DEFAULT_CHUNK = 32
DEFAULT_MAX_CHUNK = 2000
MAX_INPUT_CHARS = 20_000
OPTIONS: dict[str, tuple[type | tuple[type, ...], float, float]] = {
    "temperature": ((int, float), 0, 2),
    "top_p": ((int, float), 0, 1),
    "top_k": (int, 1, 1000),
    "num_predict": (int, 1, 4096),
}
# What a node may say in its answer to a generate task.
ANSWER: dict[str, type] = {
    "response": str,
    "done_reason": str,
    "model": str,
    "eval_count": int,
    "prompt_eval_count": int,
}
INT64 = range(-(2**63), 2**63)
DEEPEST = 32
NOT_TEXT = "A NUL character or half of a surrogate pair is no text."
_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class JobRequest:
    """A job as a requester describes it, its types checked at the edge."""

    kind: str
    model: str
    inputs: tuple[str, ...] = ()
    prompt: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    chunk_size: int = DEFAULT_CHUNK
    chunk_strategy: str = "none"
    max_chunk_size: int = DEFAULT_MAX_CHUNK
    priority: int = 5
    max_price: int | None = None
    mandate: str = ""


@dataclass(frozen=True)
class Chunk:
    """One task's payload, how many items of work it holds, and about how long they take in seconds."""

    payload: bytes
    items: int
    work_s: int


class ResultInvalid(ValueError):
    """A result does not have the shape that its kind promises."""


class Kind(Protocol):
    """One kind of task. `task` is what its models do, by the catalog's word."""

    name: str
    task: str

    @property
    def title(self) -> "str | Promise":
        """What a person calls it."""

    def split(self, request: JobRequest) -> list[Chunk]:
        """The tasks of a job; raises InputRefused."""

    def chunking(self, request: JobRequest) -> dict[str, Any]:
        """How the job was split, to be shown with it."""

    def check(self, result: bytes, items: int, manifest: Mapping[str, Any]) -> None:
        """Raise ResultInvalid unless the bytes are a whole answer to a chunk of `items`."""

    def join(self, results: Sequence[bytes]) -> Any:
        """The job's result from its chunks' results in order."""


@runtime_checkable
class FromData(Protocol):
    """A kind whose dispatches carry fields of their own instead of inputs or a prompt."""

    def from_data(self, data: dict[str, Any]) -> dict[str, Any]:
        """The same as model and prompt."""


@runtime_checkable
class OverData(Protocol):
    """A kind whose prompt is a JSON object, done by one model that every node has built in."""

    model: str
    takes: str


_kinds: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Add a kind of task."""
    _kinds[kind.name] = kind


def get(name: str) -> Kind:
    """The kind of that name; raises KindUnknown."""
    try:
        return _kinds[name]
    except KeyError:
        raise KindUnknown(f"There are no jobs of kind {name!r}; there are: {', '.join(sorted(_kinds))}.") from None


def names() -> list[str]:
    """All kinds that are registered."""
    return sorted(_kinds)


def offered() -> list[Kind]:
    """All kinds, in the order in which they were registered."""
    return list(_kinds.values())


def refuse(field_name: str, detail: str) -> InputRefused:
    """A refusal that points at the field."""
    return InputRefused(detail, errors=[{"pointer": f"/{field_name}", "code": "invalid", "detail": detail}])


def is_text(value: str) -> bool:
    """Whether the database can keep it and JSON can carry it."""
    return _NO_TEXT.search(value) is None


class Embed:
    """`embed {inputs[]}`: a chunk is up to `chunk_size` texts; the vectors come back in the texts' order."""

    name = "embed"
    title = _("Embed texts")
    task = "embed"

    def split(self, request: JobRequest) -> list[Chunk]:
        if request.prompt:
            raise refuse("prompt", "An embed job takes inputs, not a prompt.")
        if request.options:
            raise refuse("options", "An embed job has no options.")
        limit = parameters.get("pool.max_inputs")
        if not request.inputs:
            raise refuse("inputs", "An embed job needs at least one input.")
        if len(request.inputs) > limit:
            raise refuse("inputs", f"An embed job has at most {limit} inputs; this one has {len(request.inputs)}.")
        for index, text in enumerate(request.inputs):
            if not text.strip() or len(text) > MAX_INPUT_CHARS:
                raise refuse(
                    f"inputs/{index}", f"An input has 1 to {MAX_INPUT_CHARS} characters that are not all blank."
                )
            if not is_text(text):
                raise refuse(f"inputs/{index}", NOT_TEXT)
        size = request.chunk_size
        groups = [request.inputs[i : i + size] for i in range(0, len(request.inputs), size)]
        return [Chunk(canonical.dumps({"inputs": list(group)}), len(group), len(group) // 2) for group in groups]

    def chunking(self, request: JobRequest) -> dict[str, Any]:
        return {"chunk_size": request.chunk_size}

    def check(self, result: bytes, items: int, manifest: Mapping[str, Any]) -> None:
        vectors = self.vectors(result)
        dimensions = int(manifest["dimensions"])
        if vectors.shape != (items, dimensions):
            raise ResultInvalid(f"{items} vectors of {dimensions} were asked for, {vectors.shape} came.")
        if not np.isfinite(vectors).all():
            raise ResultInvalid("A vector has a value that is not finite.")

    def join(self, results: Sequence[bytes]) -> np.ndarray:
        """All vectors, (inputs, dimensions) float32."""
        return np.concatenate([self.vectors(result) for result in results])

    @staticmethod
    def vectors(result: bytes) -> np.ndarray:
        """One chunk's vectors, (items, dimensions) float32; raises ResultInvalid."""
        try:
            _, arrays = decode_tensors(result)
        except FrameMalformed as error:
            raise ResultInvalid(error.detail) from error
        vectors = arrays.get("vectors")
        if vectors is None or len(arrays) != 1 or vectors.dtype != np.float32 or vectors.ndim != 2:
            raise ResultInvalid("The frame does not hold one array of float32 vectors.")
        return vectors


class Generate:
    """`generate {prompt}`: one chunk, or several by paragraph or size; the answers are joined with a space."""

    name = "generate"
    title: "str | Promise" = _("Generate text")
    task = "generate"

    def split(self, request: JobRequest) -> list[Chunk]:
        if request.inputs:
            raise refuse("inputs", "A generate job takes a prompt, not inputs.")
        longest = parameters.get("pool.max_prompt_chars")
        if not request.prompt.strip() or len(request.prompt) > longest:
            raise refuse("prompt", f"A prompt has 1 to {longest} characters that are not all blank.")
        if not is_text(request.prompt):
            raise refuse("prompt", NOT_TEXT)
        if request.chunk_strategy not in chunking.STRATEGIES:
            raise refuse("chunk_strategy", f"A chunk strategy is one of {', '.join(chunking.STRATEGIES)}.")
        options = checked_options(request.options)
        # One chunk too many is enough for the refusal, and a quote is free of charge.
        most = parameters.get("pool.max_tasks")
        texts = chunking.split(request.prompt, request.chunk_strategy, request.max_chunk_size, most)
        seconds = int(options.get("num_predict", 128)) // 2
        return [Chunk(_json({"prompt": text, **options}), 1, seconds) for text in texts]

    def chunking(self, request: JobRequest) -> dict[str, Any]:
        return {"chunk_strategy": request.chunk_strategy, "max_chunk_size": request.max_chunk_size}

    def check(self, result: bytes, items: int, manifest: Mapping[str, Any]) -> None:
        for name, value in self.answer(result).items():
            if type(value) is not ANSWER.get(name):
                raise ResultInvalid(f"The answer has something else than {', '.join(ANSWER)}: texts and numbers.")

    def join(self, results: Sequence[bytes]) -> str:
        return chunking.join([str(self.answer(result)["response"]) for result in results])

    @staticmethod
    def answer(result: bytes) -> dict[str, Any]:
        """One chunk's answer {response, eval_count, prompt_eval_count}; raises ResultInvalid."""
        try:
            answer = json.loads(result)
        except (ValueError, RecursionError) as error:
            raise ResultInvalid("The answer is not JSON.") from error
        if not isinstance(answer, dict) or not isinstance(answer.get("response"), str):
            raise ResultInvalid("The answer has no response.")
        _check_carried(answer)
        return answer


def _check_carried(value: Any, depth: int = 0) -> None:
    """Raise ResultInvalid for what could not be sent on: Python reads more from JSON than others take."""
    if depth > DEEPEST:
        raise ResultInvalid("The answer is nested too deeply.")
    if isinstance(value, dict | list):
        for item in [*value, *value.values()] if isinstance(value, dict) else value:
            _check_carried(item, depth + 1)
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ResultInvalid("A text of the answer is not valid Unicode.") from error
    elif isinstance(value, int):
        if value not in INT64:
            raise ResultInvalid("A number of the answer does not fit into 64 bits.")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ResultInvalid("A number of the answer is not finite.")


def checked_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a generate job, each within its range; raises InputRefused for any other."""
    for name, value in given.items():
        if name in OPTIONS:
            wanted, low, high = OPTIONS[name]
            number = isinstance(value, wanted) and not isinstance(value, bool)
            # What is no number at all, or infinite, is within no range either.
            if not number or not low <= value <= high:
                raise refuse(f"options/{name}", f"{name} is a number from {low} to {high}.")
        elif name in {"stop", "system"}:
            _check_texts(name, value)
        elif name == "format":
            if value != "json":
                raise refuse("options/format", 'format, where given, is "json".')
        elif is_text(name):
            raise refuse(f"options/{name}", f"There is no option {name}.")
        else:
            raise refuse("options", NOT_TEXT)
    return dict(given)


def _check_texts(name: str, value: Any) -> None:
    if name == "system":
        if not isinstance(value, str) or len(value) > MAX_INPUT_CHARS:
            raise refuse("options/system", f"system is a text of at most {MAX_INPUT_CHARS} characters.")
    elif not isinstance(value, list) or len(value) > 8 or not all(isinstance(text, str) and text for text in value):
        raise refuse("options/stop", "stop is a list of at most 8 texts.")
    if not all(map(is_text, [value] if name == "system" else value)):
        raise refuse(f"options/{name}", NOT_TEXT)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
