"""The payload of generate tasks."""

import json
from typing import Any

from workers.engines.base import PayloadRefused


def prompt_of(kind: str, payload: bytes) -> tuple[str, dict[str, Any]]:
    """The prompt of a generate task and its options; raises PayloadRefused."""
    if kind != "generate":
        raise PayloadRefused(f"This engine runs generate tasks, not {kind}.")
    try:
        options = dict(json.loads(payload))
        prompt = options.pop("prompt")
    except (ValueError, KeyError, TypeError) as error:
        raise PayloadRefused("The payload has no prompt.") from error
    if not isinstance(prompt, str) or not prompt:
        raise PayloadRefused("prompt must be a text.")
    return prompt, options
