"""Frame after frame, several at a time, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Any, Literal, Protocol

from edgeblend.errors import EdgeBlendError, with_text
from edgeblend.results import Instances
from edgeblend.runtime.images import ChannelOrder

ErrorMode = Literal["raise", "yield"]
"""What becomes of a frame's error."""


class Lane(Protocol):
    """Segments one frame at a time, beside others."""

    def __call__(
        self,
        image: Any,  # noqa: ANN401
        *,
        color: ChannelOrder,
        output_size: tuple[int, int] | None,  # noqa: ANN401
    ) -> Instances:
        """Segment a frame."""

    def close(self) -> None:
        """Release what it holds."""


def stream_frames(
    open_lane: Callable[[], Lane],
    frames: Iterable[Any],
    *,
    in_flight: int,
    color: ChannelOrder = "bgr",
    output_size: tuple[int, int] | None = None,
    with_frames: bool = False,
    errors: ErrorMode = "raise",
) -> Generator[Any, None, None]:
    """Segment frames in as many threads as there are lanes, and yield results in the frames' order.

    While one lane's graph runs, others prepare and finish their frames. A consumer that takes its time holds
    everything back: no more than ``in_flight`` frames are read ahead of it.

    Args:
        open_lane: called ``in_flight`` times before the first frame is read.
        frames: read in the consumer's thread.
        in_flight: largest number of frames under way.
        color: handed on.
        output_size: handed on.
        with_frames: whether to yield ``(frame, result)``, with the frame as ``frames`` gave it.
        errors: whether an EdgeBlendError of a frame is raised, or yielded in the place of its instances.

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

        def segment(frame: Any) -> Instances:  # noqa: ANN401
            lane = lanes.get()
            try:
                return lane(frame, color=color, output_size=output_size)
            finally:
                lanes.put(lane)

        pool = ThreadPoolExecutor(in_flight, thread_name_prefix="edgeblend-stream")
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)  # before the lanes are closed
        pending: deque[tuple[Any, Future[Instances]]] = deque()
        done, source = 0, iter(frames)
        failure: BaseException | None = None
        while True:
            while failure is None and len(pending) < in_flight:
                try:
                    frame = next(source)
                    pending.append((frame if with_frames else None, pool.submit(segment, frame)))
                    del frame  # it lives no longer than its result is waited for
                except StopIteration:
                    break
                except Exception as error:  # of the caller's own source: what came before it is delivered
                    error.add_note(f"raised instead of frame {done + len(pending)} of the stream")
                    failure = error
            if not pending:
                break
            given, future = pending.popleft()
            result = _result(future, done, errors)
            yield (given, result) if with_frames else result
            del given, future, result
            done += 1
        if failure is not None:
            raise failure


def _result(future: Future[Instances], index: int, errors: ErrorMode) -> Instances | EdgeBlendError:
    try:
        return future.result()
    except EdgeBlendError as error:
        located = with_text(error, f"frame {index}: {error}")
        located.frame_index = index
        if errors == "raise":
            raise located from error
        located.__cause__ = error
        return located
    except Exception as error:
        error.add_note(f"raised by frame {index} of the stream")
        raise
