"""Data on standard output, words on standard error; `--json` prints one JSON document."""

import json
import os
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

words = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")), highlight=False)
data = Console(no_color=bool(os.environ.get("NO_COLOR")), highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A sentence for the person at the terminal."""
    words.print(text, markup=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_fields(fields: dict[str, Any]) -> None:
    """Name and value, one a line."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        data.print(f"{name:<{width}}  {'' if value is None else value}", markup=False)


def print_table(columns: list[str], rows: list[list[Any]]) -> None:
    """A plain table."""
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    data.print(table)
