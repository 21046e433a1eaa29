"""What a callback of the caller raises comes out as it is, however deep it was called."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from edgeblend.arguments.callbacks import callback, callers_code, callers_items, raised_by_caller
from edgeblend.errors import ConversionError, InputError, OutputError
from edgeblend.files.staging import look_at, write_whole


class StopHereError(Exception):
    """The caller's own."""


def stop(line: str) -> None:
    raise StopHereError(line)


def test_none_is_a_callback_that_does_nothing() -> None:
    callback("progress", None)("a step")


def test_a_callback_gets_what_is_said() -> None:
    heard: list[str] = []
    callback("progress", heard.append)("a step")
    assert heard == ["a step"]


@pytest.mark.parametrize("given", [5, "print", [], True])
def test_what_cannot_be_called_is_refused(given: object) -> None:
    with pytest.raises(InputError, match="progress: got .*; give a function that takes a line of text"):
        callback("progress", given)


def test_what_a_callback_raises_is_told_from_everything_else() -> None:
    with pytest.raises(StopHereError) as caught:
        callback("progress", stop)("a step")
    assert raised_by_caller(caught.value) is caught.value
    assert raised_by_caller(StopHereError()) is None


def test_it_is_found_behind_what_a_third_party_made_of_it() -> None:
    with pytest.raises(RuntimeError) as caught:
        try:
            callback("progress", stop)("a step")
        except StopHereError as error:
            raise RuntimeError("graph failed") from error
    found = raised_by_caller(caught.value)
    assert isinstance(found, StopHereError)


def test_an_error_that_takes_no_attributes_still_comes_out() -> None:
    class ClosedError(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            if "edgeblend" in name:
                raise AttributeError(name)
            super().__setattr__(name, value)

    with pytest.raises(ClosedError), callers_code():
        raise ClosedError


def test_items_are_handed_on_and_what_comes_instead_is_marked() -> None:
    def some() -> Iterator[int]:
        yield 1
        raise StopHereError

    found = callers_items(some())
    assert next(found) == 1
    with pytest.raises(StopHereError) as caught:
        next(found)
    assert raised_by_caller(caught.value) is caught.value
    assert list(callers_items([1, 2])) == [1, 2]


@pytest.mark.parametrize("of_caller", [True, False])
def test_a_writer_of_files_reports_its_own_errors_alone(of_caller: bool, tmp_path: Path) -> None:
    def say(line: str) -> None:
        raise OSError(errno.ENOSPC, line)

    out = tmp_path / "made"
    with pytest.raises(OSError if of_caller else OutputError):
        write_whole(
            out, lambda path: (callback("progress", say) if of_caller else say)("x"), found=look_at(out)
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("of_caller", [True, False])
def test_callers_of_third_parties_wrap_their_errors_alone(of_caller: bool) -> None:
    pytest.importorskip("torch")
    from edgeblend.converters.third_party import third_party

    with pytest.raises(StopHereError if of_caller else ConversionError), third_party("NNCF cannot"):
        (callback("progress", stop) if of_caller else stop)("a step")


# Through the public interface


def stop_at(words: str) -> Callable[[str], None]:
    def say(line: str) -> None:
        if words in line:
            raise StopHereError(line)

    return say


@pytest.mark.parametrize(
    "words",
    [
        "choosing calibration",
        "measuring the float",
        "quantizing the detector",
        "layers in float",
        "comparing with",
    ],
)
def test_progress_of_a_search_can_end_it_anywhere(words: str, small_bundle, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    from small_bundle import frames

    import edgeblend

    with pytest.raises(StopHereError, match=words):
        edgeblend.quantize(
            small_bundle, tmp_path / "made", calibration=frames(3), max_drop=90, progress=stop_at(words)
        )
    assert list(tmp_path.iterdir()) == []


def test_a_source_of_frames_that_fails_while_a_graph_is_quantized(small_bundle, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    from small_bundle import frames

    import edgeblend
    from edgeblend.calibration.data.frames import Frame

    class Camera:
        """Is unplugged once the frames have been chosen."""

        description = "the frames of a camera"
        passes = 0

        def read(self, chosen: Collection[int] | None = None) -> Iterator[Frame]:
            self.passes += 1
            for index, picture in enumerate(frames(3)):
                if self.passes > 1:
                    raise StopHereError("unplugged")
                yield Frame(index, f"frame {index}", picture)

    with pytest.raises(StopHereError, match="unplugged"):
        edgeblend.quantize(small_bundle, tmp_path / "made", calibration=Camera())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["reading the checkpoint", "exporting the basis", "verifying"])
def test_progress_of_a_conversion_can_end_it_anywhere(words: str, tiny_model, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from tiny_model import CLASS_NAMES

    import edgeblend

    with pytest.raises(StopHereError, match=words):
        edgeblend.convert(
            tiny_model.checkpoint,
            tmp_path / "made",
            config=tiny_model.config,
            class_names=CLASS_NAMES,
            progress=stop_at(words),
        )
    assert list(tmp_path.iterdir()) == []
