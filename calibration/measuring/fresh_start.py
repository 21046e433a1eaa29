"""How long a bundle takes from nothing to its first result, and how much memory, in a process of its own.

``python -m edgeblend.calibration.measuring.fresh_start BUNDLE FRAME.npy...`` is that process.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeblend.arguments.choices import check_choice
from edgeblend.bundle import Bundle
from edgeblend.calibration.measuring.engine_arguments import (
    add_engine_arguments,
    engine_arguments,
    engine_given,
)
from edgeblend.calibration.measuring.fresh_process import answer, end_with_parent, refuse, run_fresh
from edgeblend.calibration.measuring.peak_memory import peak_resident_bytes
from edgeblend.errors import EdgeBlendError, OutputError
from edgeblend.files.temporary import TemporaryFolder
from edgeblend.runtime.backends.base import Precision


@dataclass(frozen=True, slots=True)
class FreshStart:
    """Of a process that opens a bundle, segments a few frames, and does nothing else.

    The clock starts in a running interpreter that has NumPy loaded. The bundle's files were read shortly
    before, so that they come from memory where the system keeps them there. Compiled graphs are kept only
    where a ``cache_dir`` is given.
    """

    load_s: float
    """Seconds to an open segmenter: OpenCV and the engine imported, the files verified, graphs compiled."""
    first_result_s: float
    """Seconds to the first frame's instances, loading included."""
    peak_memory: int | None
    """Bytes resident at most, interpreter and engine included, memory of other devices than the CPU not.
    None where the system does not tell."""


def measure_fresh_start(
    bundle: str | Path | Bundle,
    frames: Sequence[NDArray[np.uint8]],
    *,
    backend: str | None = None,
    device: str = "CPU",
    precision: Precision = "f32",
    threads: int | None = None,
    properties: Mapping[str, str] | None = None,
    score_threshold: float | None = None,
    cache_dir: Path | None = None,
) -> FreshStart:
    """Start a new process that segments frames one at a time; options are those of ``Segmenter.load``.

    Raises:
        EdgeBlendError: the bundle or a picture is refused, as anywhere.
        EngineError: the process failed, with its own last words or its signal; or it takes too long.
        OutputError: the temporary folder cannot be written.
    """
    check_choice("precision", precision, get_args(Precision))
    options = engine_arguments(
        backend=backend, device=device, precision=precision, threads=threads, properties=properties
    )
    options += ["--score-threshold", str(score_threshold)] if score_threshold is not None else []
    options += ["--cache-dir", str(cache_dir)] if cache_dir is not None else []
    where = bundle.path if isinstance(bundle, Bundle) else Path(bundle)
    with _saved(frames) as paths:
        arguments = [*options, "--", str(where), *map(str, paths)]
        told = run_fresh("edgeblend.calibration.measuring.fresh_start", arguments, bundle=where)
    return msgspec.json.decode(told, type=FreshStart)


@contextmanager
def _saved(frames: Sequence[NDArray[np.uint8]]) -> Iterator[list[Path]]:
    """Give the frames as files, for as long as the block takes."""
    with ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(TemporaryFolder()))
            paths = [folder / f"{number}.npy" for number in range(len(frames))]
            for path, frame in zip(paths, frames, strict=True):
                np.save(path, frame)
        except OSError as error:
            raise OutputError(
                f"the temporary folder: the frames to measure with cannot be kept there: {error}; make room, "
                "or set TMPDIR to a folder that has some"
            ) from error
        yield paths


def main(argv: Sequence[str] | None = None) -> int:
    """Open a bundle, segment frames, and print what that took as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("frames", type=Path, nargs="+")
    add_engine_arguments(parser)
    parser.add_argument("--score-threshold", type=float)
    parser.add_argument("--cache-dir", type=Path)
    parser.add_argument("--parent", type=int, help="process to end with")
    args = parser.parse_args(argv)
    end_with_parent(args.parent)
    frames = [np.load(path) for path in args.frames]
    start = time.perf_counter()
    from edgeblend.runtime.segmenter import Segmenter

    try:
        with Segmenter.load(
            args.bundle,
            **engine_given(args),
            score_threshold=args.score_threshold,
            cache_dir=args.cache_dir,
        ) as segmenter:
            loaded = time.perf_counter()
            segmenter(frames[0])
            first = time.perf_counter()
            for frame in frames[1:]:
                segmenter(frame)
    except EdgeBlendError as error:
        return refuse(error)
    measured = FreshStart(loaded - start, first - start, peak_resident_bytes())
    answer(msgspec.json.encode(measured).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
