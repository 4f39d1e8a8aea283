"""Cutting a prompt into chunks: pure, in characters."""

import re
from typing import Literal, get_args

Strategy = Literal["none", "split-by-paragraph", "split-by-size"]
STRATEGIES: tuple[str, ...] = get_args(Strategy)
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n\s*")


def split(prompt: str, strategy: str, max_chunk: int) -> list[str]:
    """The prompt's chunks in order; one chunk, unchanged, for `none` or a prompt that is short enough."""
    if max_chunk < 1:
        raise ValueError("a chunk has at least one character")
    if strategy == "none" or len(prompt) <= max_chunk:
        return [prompt]
    if strategy == "split-by-paragraph":
        return by_paragraph(prompt, max_chunk)
    if strategy == "split-by-size":
        return by_size(prompt, max_chunk)
    raise ValueError(f"there is no strategy {strategy}")


def by_size(text: str, max_chunk: int) -> list[str]:
    """Cut at the last word boundary within every `max_chunk` characters; a longer word is cut where it must be."""
    chunks, rest = [], text.strip()
    while len(rest) > max_chunk:
        # One character more, so that a word which ends exactly at the limit stays whole.
        cut = next((i for i in range(max_chunk, 0, -1) if rest[i].isspace()), max_chunk)
        chunks.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*chunks, rest] if rest else chunks


def by_paragraph(text: str, max_chunk: int) -> list[str]:
    """Split on blank lines and group neighbours up to `max_chunk`; a longer paragraph is cut by size."""
    chunks: list[str] = []
    for paragraph in map(str.strip, _BLANK_LINE.split(text.strip())):
        if chunks and len(chunks[-1]) + 2 + len(paragraph) <= max_chunk:
            chunks[-1] = f"{chunks[-1]}\n\n{paragraph}"
        else:
            chunks += by_size(paragraph, max_chunk)
    return chunks


def join(parts: list[str]) -> str:
    """The chunks' answers as one text."""
    return " ".join(parts)
