"""Cutting a prompt into chunks: pure, in characters."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Literal, get_args

Strategy = Literal["none", "split-by-paragraph", "split-by-size"]
STRATEGIES: tuple[str, ...] = get_args(Strategy)
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n\s*")


def split(prompt: str, strategy: str, max_chunk: int, most: int | None = None) -> list[str]:
    """The prompt's chunks in order; one chunk, unchanged, for `none` or a prompt that is short enough.

    Of more than `most` chunks only the first `most` + 1 are cut.
    """
    if max_chunk < 1:
        raise ValueError("a chunk has at least one character")
    if strategy == "none" or len(prompt) <= max_chunk:
        return [prompt]
    if strategy == "split-by-paragraph":
        chunks = by_paragraph(prompt, max_chunk)
    elif strategy == "split-by-size":
        chunks = by_size(prompt, max_chunk)
    else:
        raise ValueError(f"there is no strategy {strategy}")
    return list(chunks if most is None else islice(chunks, most + 1))


def by_size(text: str, max_chunk: int) -> Iterator[str]:
    """Cut at the last word boundary within every `max_chunk` characters; a longer word is cut where it must be."""
    rest, at = text.strip(), 0
    # An index walks: to slice off the remainder each time would copy a long text once for each of its chunks.
    while len(rest) - at > max_chunk:
        end = at + max_chunk
        # One character more, so that a word which ends exactly at the limit stays whole.
        cut = next((i for i in range(end, at, -1) if rest[i].isspace()), end)
        yield rest[at:cut].rstrip()
        at = next(i for i in range(cut, len(rest)) if not rest[i].isspace())
    if rest:
        yield rest[at:]


def by_paragraph(text: str, max_chunk: int) -> Iterator[str]:
    """Split on blank lines and group neighbours up to `max_chunk`; a longer paragraph is cut by size."""
    group: list[str] = []
    length = 0
    for paragraph in map(str.strip, _BLANK_LINE.split(text.strip())):
        if group and length + 2 + len(paragraph) <= max_chunk:
            group.append(paragraph)
            length += 2 + len(paragraph)
            continue
        for piece in by_size(paragraph, max_chunk):
            if group:
                yield "\n\n".join(group)
            group, length = [piece], len(piece)
    if group:
        yield "\n\n".join(group)


def join(parts: list[str]) -> str:
    """The chunks' answers as one text."""
    return " ".join(parts)
