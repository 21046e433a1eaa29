"""Lets a file operation fail in a process that the process under test starts.

On its PYTHONPATH beside ``tests``, this is imported before anything else. ``EDGEBLEND_TEST_FAULT`` says in
JSON in which module's process it fails (``module``, and an ``argument`` of it), which operation (``number``,
None to count), how (``how``), and where operations count (``below``). ``count`` is a file that gets their
names at the end.
"""

import atexit
import json
import os
import sys
import threading
from pathlib import Path

import faults

given = json.loads(os.environ["EDGEBLEND_TEST_FAULT"])


def stuck():
    """Tell the pipe which process this is, and stay."""
    Path(given["pipe"]).write_text(f"{os.getpid()}\n")
    threading.Event().wait()


if {given["module"], given["argument"]} <= set(sys.orig_argv):
    how = stuck if given["how"] == "stuck" else getattr(faults, given["how"])
    block = faults.failing(given["number"], how, below=Path(given["below"]))
    seen = block.__enter__()
    if given["count"]:
        atexit.register(lambda: Path(given["count"]).write_text("\n".join(seen.operations)))
