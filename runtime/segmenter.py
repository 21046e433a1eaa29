"""One frame in, instances out."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, get_args, overload

from edgeblend.arguments.checks import check_flag, check_kind, check_share, check_size, check_whole
from edgeblend.arguments.choices import check_choice
from edgeblend.bundle import Bundle
from edgeblend.errors import EdgeBlendError, InputError
from edgeblend.manifest import Manifest, Part
from edgeblend.results import LARGEST_FRAME, Instances
from edgeblend.runtime.assemble import PasteMode
from edgeblend.runtime.attention import AttentionLayer, load_attention
from edgeblend.runtime.backends.base import MOST_THREADS, Precision, Session, SessionInfo
from edgeblend.runtime.images import ChannelOrder, Image, to_frame
from edgeblend.runtime.pipeline import HostPipeline
from edgeblend.runtime.sessions import close_sessions, engine_options, fork_sessions, open_sessions
from edgeblend.runtime.stream import ErrorMode, stream_frames

_Given = TypeVar("_Given", bound=Image)


@dataclass(frozen=True, slots=True)
class SegmenterInfo:
    """Engine, device and precision of each part, as they really run."""

    bundle: str
    config: str
    target: str
    canvas: tuple[int, int] | None
    """(height, width) of the network's input; None when it follows the frame."""
    attention: Literal["sparse", "dense"]
    paste: PasteMode
    score_threshold: float
    parts: Mapping[Part, SessionInfo]


class Segmenter:
    """Segments frames with one bundle on one engine.

    Calls from several threads take turns; give each thread its own segmenter to run side by side.
    Use it as a context manager, or :meth:`close` it, to release the engine's memory early.
    """

    def __init__(
        self,
        manifest: Manifest,
        sessions: Mapping[Part, Session],
        *,
        attention: AttentionLayer | None,
        bundle: Bundle | None = None,
        score_threshold: float | None = None,
        paste: PasteMode = "clipped",
        streams: int = 1,
    ) -> None:
        """Put a segmenter together from open sessions; most callers want :meth:`load`."""
        _check_options(score_threshold, paste)
        self._manifest = check_kind("manifest", manifest, Manifest, "a bundle's manifest")
        self._sessions = dict(check_kind("sessions", sessions, Mapping, "what open_sessions returned"))
        self._attention = check_kind(
            "attention", attention, AttentionLayer | None, "an attention layer, or None"
        )
        # Keeps the temporary copy of a .zip's content alive.
        self._bundle = check_kind("bundle", bundle, Bundle | None, "a loaded bundle, or None")
        self._score_threshold = score_threshold
        self._paste: PasteMode = paste
        self._streams = check_whole("streams", streams, 1, MOST_THREADS)
        self._pipeline = HostPipeline(
            manifest,
            self._sessions,
            attention=attention,
            score_threshold=score_threshold,
            paste=paste,
        )
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        path: str | Path | Bundle,
        *,
        backend: str | None = None,
        device: str | Mapping[Part, str] = "CPU",
        precision: Precision | Mapping[Part, Precision] = "f32",
        threads: int | None = None,
        streams: int = 1,
        cache_dir: str | Path | None = None,
        properties: Mapping[str, str] | None = None,
        score_threshold: float | None = None,
        paste: PasteMode = "clipped",
    ) -> Self:
        """Open a bundle on an engine.

        Args:
            path: a bundle's folder or ``.zip``, or a loaded bundle.
            backend: the engine; None takes the one that the bundle was made for.
            device: where the engine runs it; a mapping places ``detector`` and ``basis`` apart.
            precision: what the graphs are computed in. ``f32`` unless you choose otherwise:
                engines pick bfloat16 on processors that have it. ``engine`` leaves it to them.
            threads: CPU threads; None takes one per core that this process may use. ``info`` says how
                many really run.
            streams: frames that the engine is to compute at the same time, sharing the threads, for
                :meth:`stream`: more of them per second, each later. 1 is best for one frame at a time.
            cache_dir: keep compiled graphs here, which makes the next start faster.
            properties: passed to the engine as they are.
            score_threshold: report only detections whose score is at least this; None keeps the
                model's own threshold.
            paste: ``clipped`` pastes masks into boxes clipped to the frame, as the published
                figures do, which squeezes a border object's mask by the overhang; ``unclipped`` pastes
                into the box as predicted and cuts at the frame, which is geometrically right.

        Raises:
            BundleError: the bundle is not whole.
            EngineError: the engine is unknown, the device is not there, or does not take the bundle.
            MissingPackageError: the engine is not installed.
            InputError: an option's value is not valid.

        Example:
            >>> with edgeblend.Segmenter.load("bundle", threads=1) as segmenter:
            ...     segmenter.info.canvas, segmenter.info.parts["detector"].device
            ((64, 96), 'CPU')
        """
        engine: dict[str, Any] = {
            "backend": backend,
            "device": device,
            "precision": precision,
            "threads": threads,
            "streams": streams,
            "cache_dir": cache_dir,
            "properties": properties,
        }
        # What is wrong with an option is said before a bundle's bytes are verified.
        engine_options(**engine)
        _check_options(score_threshold, paste)
        bundle = path if isinstance(path, Bundle) else Bundle.load(path)
        sessions = open_sessions(bundle, **engine)
        return cls.from_sessions(
            bundle, sessions, score_threshold=score_threshold, paste=paste, streams=streams
        )

    @classmethod
    def from_sessions(
        cls,
        bundle: Bundle,
        sessions: Mapping[Part, Session],
        *,
        score_threshold: float | None = None,
        paste: PasteMode = "clipped",
        streams: int = 1,
    ) -> Self:
        """Return a segmenter over open sessions of a bundle (``edgeblend.runtime.sessions``); it closes them.

        They are closed, too, where there will be no segmenter. Options are those of :meth:`load`.
        """
        check_kind("sessions", sessions, Mapping, "what open_sessions returned")
        with ExitStack() as opened:
            opened.callback(close_sessions, sessions)
            check_kind("bundle", bundle, Bundle, "a loaded bundle")
            _check_options(score_threshold, paste)
            file = bundle.manifest.attention.file
            segmenter = cls(
                bundle.manifest,
                sessions,
                attention=load_attention(bundle.file(file), bundle.manifest.blend) if file else None,
                bundle=bundle,
                score_threshold=score_threshold,
                paste=paste,
                streams=streams,
            )
            opened.pop_all()
        return segmenter

    def __call__(
        self,
        image: Image,
        *,
        color: ChannelOrder = "bgr",
        output_size: tuple[int, int] | None = None,
    ) -> Instances:
        """Segment one image.

        Args:
            image: a path; an array (H, W, 3) uint8, of which grey, four channels and uint16 are converted; or
                a PIL image. Files and PIL images are turned upright as their EXIF tag says.
            color: channel order of an array: ``bgr`` as OpenCV delivers it, or ``rgb``. Paths and PIL images
                know their own.
            output_size: (height, width) that results are reported at; None takes the image's own. Give it
                when ``image`` is a scaled copy of one that masks are wanted for.

        Returns:
            Instances by descending score, empty when nothing was detected, with arrays of their own.
            ``timings_ms`` begins after a file was read.

        Raises:
            InputError: it is no image, or a file that cannot be read.
            EngineError: the engine failed, or the segmenter was closed.

        Example:
            >>> with edgeblend.Segmenter.load("bundle", score_threshold=0.3) as segmenter:
            ...     instances = segmenter(edgeblend.read_image("image.png"))
            >>> len(instances) > 0, instances.boxes.shape == (len(instances), 4)
            (True, True)
            >>> instances.masks().shape[1:]
            (64, 96)
        """
        size = None if output_size is None else check_size("output_size", output_size, 1, LARGEST_FRAME)
        frame = to_frame("image", image, color=color)
        with self._lock:
            return self._pipeline(frame, size)

    @overload
    def stream(
        self,
        frames: Iterable[Image],
        *,
        color: ChannelOrder = ...,
        in_flight: int | None = ...,
        output_size: tuple[int, int] | None = ...,
        with_frames: Literal[False] = ...,
        errors: Literal["raise"] = ...,
    ) -> Generator[Instances, None, None]: ...

    @overload
    def stream(
        self,
        frames: Iterable[_Given],
        *,
        color: ChannelOrder = ...,
        in_flight: int | None = ...,
        output_size: tuple[int, int] | None = ...,
        with_frames: Literal[True],
        errors: Literal["raise"] = ...,
    ) -> Generator[tuple[_Given, Instances], None, None]: ...

    @overload
    def stream(
        self,
        frames: Iterable[Image],
        *,
        color: ChannelOrder = ...,
        in_flight: int | None = ...,
        output_size: tuple[int, int] | None = ...,
        with_frames: Literal[False] = ...,
        errors: Literal["yield"],
    ) -> Generator[Instances | EdgeBlendError, None, None]: ...

    @overload
    def stream(
        self,
        frames: Iterable[_Given],
        *,
        color: ChannelOrder = ...,
        in_flight: int | None = ...,
        output_size: tuple[int, int] | None = ...,
        with_frames: Literal[True],
        errors: Literal["yield"],
    ) -> Generator[tuple[_Given, Instances | EdgeBlendError], None, None]: ...

    def stream(
        self,
        frames: Iterable[Any],
        *,
        color: ChannelOrder = "bgr",
        in_flight: int | None = None,
        output_size: tuple[int, int] | None = None,
        with_frames: bool = False,
        errors: ErrorMode = "raise",
    ) -> Generator[Any, None, None]:
        """Segment frame after frame, several at a time.

        Args:
            frames: each as for calling the segmenter. They are asked for in the caller's thread, no more of
                them than there is room for, so that the reader of a camera or a video needs no lock. Files
                are read in the threads that segment.
            color: as for calling the segmenter.
            in_flight: largest number of frames under way; None takes two more than the engine computes at a
                time. Each takes memory of its own.
            output_size: as for calling the segmenter.
            with_frames: whether to yield ``(frame, instances)``, with each frame as it was handed in.
            errors: ``raise`` ends the stream with the first frame that fails. ``yield`` goes on, and yields
                an :class:`EdgeBlendError`, with its ``frame_index``, in the place of that frame's instances.
                What ``frames`` itself raises ends the stream all the same.

        Returns:
            A generator of the instances of each frame, in order. It may be left or closed at any time; frames
            that are being computed then are waited for.

        Raises:
            InputError: there is no room for a frame, or a frame is no image.
            EngineError: the engine failed, or the segmenter was closed.

        Example:
            >>> frames = (edgeblend.read_image(f"images/{number}.png") for number in range(3))
            >>> with edgeblend.Segmenter.load("bundle", streams=2) as segmenter:
            ...     counts = [len(instances) for instances in segmenter.stream(frames)]
            >>> len(counts)
            3
        """
        check_choice("color", color, get_args(ChannelOrder))
        check_choice("errors", errors, get_args(ErrorMode))
        check_flag("with_frames", with_frames)
        count = self._streams + 2
        if in_flight is not None:
            count = check_whole("in_flight", in_flight, 1, MOST_THREADS)
        if isinstance(frames, str | bytes | Mapping | PathLike) or not isinstance(frames, Iterable):
            raise InputError(
                f"frames: got {type(frames).__name__}; give images one after the other, as a list"
            )
        size = None if output_size is None else check_size("output_size", output_size, 1, LARGEST_FRAME)
        return stream_frames(
            self._fork,
            frames,
            in_flight=count,
            color=color,
            output_size=size,
            with_frames=with_frames,
            errors=errors,
        )

    def _fork(self) -> Segmenter:
        """Return a segmenter over the same graphs that can run at the same time."""
        with self._lock:
            return Segmenter(
                self._manifest,
                fork_sessions(self._sessions),
                attention=self._attention,
                bundle=self._bundle,
                score_threshold=self._score_threshold,
                paste=self._paste,
            )

    @property
    def info(self) -> SegmenterInfo:
        """Engine, device and precision of each part, as the engine reports them."""
        spec, threshold = self._manifest, self._score_threshold
        height, width = spec.input.height, spec.input.width
        return SegmenterInfo(
            bundle=str(self._bundle.path) if self._bundle else "",
            config=spec.source.config,
            target=spec.target,
            canvas=(height, width) if height and width else None,
            attention=spec.attention.mode,
            paste=self._paste,
            score_threshold=spec.decode.score_threshold**0.5 if threshold is None else threshold,
            parts={part: session.info for part, session in self._sessions.items()},
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of all classes the model knows, by class index."""
        return self._manifest.things

    @property
    def category_ids(self) -> tuple[int, ...]:
        """Category id of each class, as the data set numbers it."""
        return self._manifest.category_ids

    def close(self) -> None:
        """Release the engine's memory; calling the segmenter afterwards is an error."""
        with self._lock:
            close_sessions(self._sessions)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_options(score_threshold: float | None, paste: str) -> None:
    if score_threshold is not None:
        check_share("score_threshold", score_threshold)
    check_choice("paste", paste, get_args(PasteMode))
