"""Frame in, instances out: NumPy, OpenCV and one engine.

Importing this package loads neither torch nor an engine; an engine is imported when it is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeblend.runtime.images import read_image
    from edgeblend.runtime.segmenter import Segmenter, SegmenterInfo

__all__ = ["Segmenter", "SegmenterInfo", "read_image"]

_LAZY = {
    "Segmenter": "edgeblend.runtime.segmenter",
    "SegmenterInfo": "edgeblend.runtime.segmenter",
    "read_image": "edgeblend.runtime.images",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module attribute can be anything
    if name not in _LAZY:
        raise AttributeError(f"module 'edgeblend.runtime' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
