"""What an audit asks of the database."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A rule, and the statement that finds what breaks it, one name per row."""

    name: str
    detail: str
    statement: str
