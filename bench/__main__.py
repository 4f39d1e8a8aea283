"""`make bench`: measures figures beside their peers, prints a table and one JSON line each.

A figure is a module of bench/figures with `measure()`, which returns one dictionary, or several, with the keys figure,
ours, unit, peer, theirs, ratio, n and note. Ours and the peer's are measured in the same run; a missing peer is said to
be missing.
"""

import argparse
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.jsonl"
KEYS = ("figure", "ours", "unit", "peer", "theirs", "ratio", "n", "note")


def names() -> list[str]:
    """All figures that exist."""
    return sorted(module.name for module in pkgutil.iter_modules([str(HERE / "figures")]))


def measured(name: str) -> list[dict[str, Any]]:
    """The rows of one figure, each with every key; measured in a process of its own, with services of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MESH_", "DJANGO_"))}
    command = [sys.executable, "-m", "bench", "--leaf", name]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        note = f"failed with exit status {done.returncode}"
        return [dict.fromkeys(KEYS) | {"figure": name, "note": note}]
    return [{key: row.get(key) for key in KEYS} for row in json.loads(done.stdout.splitlines()[-1])]


def leaf(name: str) -> int:
    """Measure one figure and print its rows as JSON."""
    rows = importlib.import_module(f"bench.figures.{name}").measure()
    print(json.dumps(rows if isinstance(rows, list) else [rows]))
    return 0


def table(rows: list[dict[str, Any]]) -> str:
    """A readable table."""
    lines = [f"{'figure':<24}{'ours':>14} {'unit':<14}{'theirs':>14} {'ratio':>8}  peer / note"]
    for row in rows:
        theirs = "missing" if row["theirs"] is None and row["peer"] else row["theirs"]
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        note = " · ".join(str(part) for part in (row["peer"], row["note"]) if part)
        lines.append(
            f"{row['figure']:<24}{row['ours']!s:>14} {row['unit'] or '':<14}"
            f"{'-' if theirs is None else theirs!s:>14} {ratio:>8}  {note}"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure what was asked for, or everything."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--leaf", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.leaf:
        return leaf(arguments.leaf)
    wanted = [name for name in arguments.only.split(",") if name] or names()
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        print(f"No such figure: {', '.join(unknown)}. There are: {', '.join(names())}.", file=sys.stderr)
        return 2
    rows: list[dict[str, Any]] = []
    for name in wanted:
        print(f"measuring {name} …", file=sys.stderr)
        rows += measured(name)
    print(table(rows))
    with RESULTS.open("a") as results:
        for row in rows:
            line = json.dumps(row)
            print(line)
            results.write(json.dumps({**row, "at": datetime.now(UTC).isoformat()}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
