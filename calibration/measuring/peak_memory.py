"""How much memory it takes to run a bundle, measured in a process that does nothing else.

``python -m edgeblend.calibration.measuring.peak_memory BUNDLE PICTURE...`` is that process.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from edgeblend.arguments.choices import check_choice
from edgeblend.bundle import Bundle
from edgeblend.calibration.measuring.engine_arguments import (
    add_engine_arguments,
    engine_arguments,
    engine_given,
)
from edgeblend.calibration.measuring.fresh_process import answer, end_with_parent, refuse, run_fresh
from edgeblend.errors import EdgeBlendError
from edgeblend.runtime.backends.base import Precision


def measure_peak_memory(
    bundle: str | Path | Bundle,
    pictures: Sequence[Path],
    *,
    backend: str | None = None,
    device: str = "CPU",
    precision: Precision = "f32",
    threads: int | None = None,
    properties: Mapping[str, str] | None = None,
) -> int | None:
    """Return the peak resident memory, in bytes, of a new process that loads a bundle and segments pictures.

    It includes the interpreter, NumPy, OpenCV and the engine, and not what lies on another device than the
    CPU. None where the system does not tell.

    Raises:
        EdgeBlendError: the bundle or a picture is refused, as anywhere.
        EngineError: the process failed, with its own last words or its signal; or it takes too long.
    """
    check_choice("precision", precision, get_args(Precision))
    options = engine_arguments(
        backend=backend, device=device, precision=precision, threads=threads, properties=properties
    )
    where = bundle.path if isinstance(bundle, Bundle) else Path(bundle)
    arguments = [*options, "--", str(where), *map(str, pictures)]
    told = run_fresh("edgeblend.calibration.measuring.peak_memory", arguments, bundle=where)
    return int(told) if told != "unknown" else None


def peak_resident_bytes() -> int | None:
    """Return the peak resident memory of this process; None where the system does not tell."""
    try:
        # Not getrusage: there a process inherits the peak of the one that started it.
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Load a bundle, segment pictures, and print this process's peak memory in bytes."""
    from edgeblend.runtime.images import read_image
    from edgeblend.runtime.segmenter import Segmenter

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    add_engine_arguments(parser)
    parser.add_argument("--parent", type=int, help="process to end with")
    args = parser.parse_args(argv)
    end_with_parent(args.parent)
    try:
        with Segmenter.load(args.bundle, **engine_given(args)) as segmenter:
            for picture in args.pictures:
                segmenter(read_image(picture))
    except EdgeBlendError as error:
        return refuse(error)
    peak = peak_resident_bytes()
    answer("unknown" if peak is None else str(peak))
    return 0


if __name__ == "__main__":
    sys.exit(main())
