"""Frame after frame, several at a time, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Any, Protocol

from numpy.typing import NDArray

from edgeblend.errors import EdgeBlendError, with_text
from edgeblend.results import Instances


class Lane(Protocol):
    """Segments one frame at a time, beside others."""

    def __call__(self, frame: NDArray[Any], *, output_size: tuple[int, int] | None) -> Instances:
        """Segment a frame."""

    def close(self) -> None:
        """Release what it holds."""


def stream_frames(
    open_lane: Callable[[], Lane],
    frames: Iterable[NDArray[Any]],
    *,
    in_flight: int,
    output_size: tuple[int, int] | None = None,
) -> Generator[Instances, None, None]:
    """Segment frames in as many threads as there are lanes, and yield results in the frames' order.

    While one lane's graph runs, others prepare and finish their frames. A consumer that takes its time holds
    everything back: no more than ``in_flight`` frames are read ahead of it.

    Args:
        open_lane: called ``in_flight`` times before the first frame is read.
        frames: read in the consumer's thread.
        in_flight: frames on their way at most.
        output_size: handed on.

    Raises:
        EdgeBlendError: of a frame, with its index in the message and in ``frame_index``, after the results of
            all frames before it. Whatever else is raised, also by ``frames``, gets a note with the index.
    """
    with ExitStack() as stack:
        lanes: SimpleQueue[Lane] = SimpleQueue()
        for _ in range(in_flight):
            lane = open_lane()
            stack.callback(lane.close)
            lanes.put(lane)

        def segment(frame: NDArray[Any]) -> Instances:
            lane = lanes.get()
            try:
                return lane(frame, output_size=output_size)
            finally:
                lanes.put(lane)

        pool = ThreadPoolExecutor(in_flight, thread_name_prefix="edgeblend-stream")
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)  # before the lanes are closed
        pending: deque[Future[Instances]] = deque()
        done, source = 0, iter(frames)
        failure: BaseException | None = None
        while True:
            while failure is None and len(pending) < in_flight:
                try:
                    pending.append(pool.submit(segment, next(source)))
                except StopIteration:
                    break
                except Exception as error:  # of the caller's own source: what came before it is delivered
                    error.add_note(f"raised instead of frame {done + len(pending)} of the stream")
                    failure = error
            if not pending:
                break
            yield _result(pending.popleft(), done)
            done += 1
        if failure is not None:
            raise failure


def _result(future: Future[Instances], index: int) -> Instances:
    try:
        return future.result()
    except EdgeBlendError as error:
        located = with_text(error, f"frame {index}: {error}")
        located.frame_index = index
        raise located from error
    except Exception as error:
        error.add_note(f"raised by frame {index} of the stream")
        raise
