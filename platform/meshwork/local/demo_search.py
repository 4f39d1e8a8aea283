"""The demo's real texts and ten fixed questions about them: semantic search over vectors that the network computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pydoc_data.topics import topics

import numpy as np

PASSAGE_CHARS = 700
PASSAGES_A_TOPIC = 6
FIRST = 3

# Each question with the topics of Python's own documentation that answer it (some texts stand under several topics).
QUESTIONS: tuple[tuple[str, frozenset[str]], ...] = (
    ("How do I leave a loop early?", frozenset({"break", "for", "while", "compound"})),
    ("Insert debugging assertions that can be switched off", frozenset({"assert"})),
    ("Write an anonymous function in a single expression", frozenset({"lambda"})),
    ("Catch an error and run clean-up code afterwards", frozenset({"try", "compound", "exceptions"})),
    ("Load another module into my program", frozenset({"import"})),
    ("Make a generator that yields values one at a time", frozenset({"yield", "types", "typesfunctions"})),
    ("Convert text to upper case or split it into words", frozenset({"string-methods"})),
    ("Step through a program and inspect variables at a breakpoint", frozenset({"debugger"})),
    ("Let an inner function rebind a variable of the enclosing function", frozenset({"nonlocal", "global"})),
    ("Shift the bits of an integer to the left or right", frozenset({"shifting", "bitwise"})),
)


@dataclass(frozen=True)
class Passage:
    """A piece of one topic's text."""

    topic: str
    text: str


def passages() -> list[Passage]:
    """Paragraphs of every topic, joined up to a length, the first few of each topic."""
    found: list[Passage] = []
    for topic in sorted(topics):
        pieces: list[str] = [""]
        for paragraph in topics[topic].split("\n\n"):
            clean = " ".join(paragraph.split())
            if not clean or set(clean) <= set("*=-~^ "):
                continue
            if len(pieces[-1]) + len(clean) > PASSAGE_CHARS and pieces[-1]:
                pieces.append("")
            pieces[-1] = f"{pieces[-1]} {clean}".strip()
        found += [Passage(topic, piece) for piece in pieces[:PASSAGES_A_TOPIC] if piece]
    return found


def hits(corpus: Sequence[Passage], vectors: np.ndarray, questions: np.ndarray) -> int:
    """How many of the ten questions find their topic among the first three passages; rows are unit vectors."""
    order = np.argsort(-(questions @ vectors.T), axis=1)[:, :FIRST]  # (10, 3)
    return sum(
        any(corpus[row].topic in wanted for row in best) for best, (_, wanted) in zip(order, QUESTIONS, strict=True)
    )
