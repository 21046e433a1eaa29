"""What the exit codes of all commands mean."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

UNEXPECTED = 1
FINDING = 12
"""``inspect --lint`` found something."""
READER_GONE = 141
"""Exit code that a shell reports for a process that SIGPIPE has ended."""

EXIT_CODES: Mapping[int, str] = MappingProxyType(
    {
        0: "done",
        UNEXPECTED: "unexpected failure",
        2: "wrong usage",
        3: "input",
        4: "config",
        5: "checkpoint",
        6: "bundle",
        7: "engine or device",
        8: "conversion",
        9: "output",
        10: "training",
        11: "accuracy",
        FINDING: "finding of --lint",
        13: "missing package",
        129: "hung up",
        130: "interrupted",
        READER_GONE: "reader of the output has gone",
        143: "terminated",
    }
)
"""3 to 11 and 13 are those of the classes in :mod:`edgeblend.errors`; 129, 130 and 143 are 128 plus the
signal's number."""

_WIDTH = 90


def listed() -> str:
    """Return them as lines of the help."""
    entries = [f"{code} {meaning}" for code, meaning in EXIT_CODES.items()]
    lines, line = [], " "
    for entry in entries:
        if len(line) + len(entry) > _WIDTH:
            lines.append(line)
            line = " "
        line += f" {entry}  "
    return "\n".join(part.rstrip() for part in (*lines, line))
