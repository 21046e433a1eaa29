"""The graph that ONNX Runtime has made of a model, looked at where it would be written.

Nothing in ONNX Runtime's interface says which layers it fused into integers; the optimized model does. It
goes to memory where the system has files there, so that neither a writable folder nor a disk is needed.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeblend.errors import EngineError
from edgeblend.files.paths import is_dir
from edgeblend.files.temporary import TemporaryFolder

_OPEN_FILES = "/proc/self/fd"
"""Where Linux gives files that have no name a path."""
_OPERATOR_FIELD = b"\x22"
"""Before an operator's type in a protobuf NodeProto: field 4, length-delimited; the length follows."""


@dataclass(frozen=True, slots=True)
class OptimizedModel:
    """A file that ONNX Runtime writes once, and that goes when it was looked at."""

    path: str

    def has_layers(self, kinds: Sequence[str]) -> bool:
        """Return whether there is an operator of one of some kinds; no package that reads ONNX is needed."""
        with open(self.path, "rb") as file:  # noqa: PTH123 - it need not be one that has a name
            if not os.fstat(file.fileno()).st_size:
                return False
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as model:
                return any(model.find(_named(kind)) >= 0 for kind in kinds)


@contextmanager
def optimized_model() -> Iterator[OptimizedModel]:
    """Enter to have a place for an optimized model.

    Raises:
        EngineError: the system has no files in memory, and no temporary folder that can be written to.
    """
    if hasattr(os, "memfd_create") and is_dir(_OPEN_FILES):
        number = os.memfd_create("edgeblend-optimized", os.MFD_CLOEXEC)
        try:
            yield OptimizedModel(f"{_OPEN_FILES}/{number}")
        finally:
            os.close(number)
        return
    try:
        folder = TemporaryFolder()
    except OSError as error:
        raise EngineError(
            f"ONNX Runtime needs a temporary folder to show which layers it computes in INT8 ({error}); set "
            "TMPDIR to a folder that can be written to, or open the bundle with precision 'engine'"
        ) from error
    with folder:
        yield OptimizedModel(str(Path(folder.name) / "optimized.onnx"))


def _named(kind: str) -> bytes:
    return _OPERATOR_FIELD + bytes([len(kind)]) + kind.encode()
