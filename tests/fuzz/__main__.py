"""``python -m tests.fuzz``, from the root of the repository."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

_TESTS = str(Path(__file__).resolve().parents[1])

if __name__ == "__main__":
    sys.path[:0] = [_TESTS]  # where the builders of small bundles are, as for all tests
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_TESTS, os.environ.get("PYTHONPATH")]))

    from fuzz.command import main

    # Both end a run as Ctrl-C does, with what was found so far; in the background that would be ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    sys.exit(main())
