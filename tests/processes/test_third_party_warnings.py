"""``python -W error`` does not make errors of what third parties warn of."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from edgeblend.processes.third_party_warnings import warnings_are_no_errors


@pytest.fixture
def raising():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.usefixtures("raising")
def test_a_warning_is_shown_and_raised_again_afterwards() -> None:
    before = warnings.filters
    with pytest.warns(UserWarning, match="old"), warnings_are_no_errors():
        warnings.warn("old", UserWarning, stacklevel=1)
    assert warnings.filters is before
    with pytest.raises(UserWarning, match="old"):
        warnings.warn("old", UserWarning, stacklevel=1)


@pytest.mark.parametrize("module", ["", __name__, f"{__name__}\\Z"])
def test_filters_of_one_module_or_message_are_followed(module: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "ol", UserWarning, module)
        with warnings_are_no_errors():
            warnings.warn("old", UserWarning, stacklevel=1)


def test_filters_are_left_alone_where_nothing_is_raised() -> None:
    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        before = list(warnings.filters)
        with warnings_are_no_errors():
            assert warnings.filters == before


@pytest.mark.usefixtures("raising")
def test_two_threads_that_overlap_put_everything_back() -> None:
    before = warnings.filters
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def first() -> None:
        with warnings_are_no_errors():
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()

    thread = threading.Thread(target=first)
    thread.start()
    assert first_is_in.wait(10)
    with warnings_are_no_errors():
        second_is_in.set()
        assert first_is_out.wait(10)
        assert warnings.filters is not before
    thread.join()
    assert warnings.filters is before


CONVERT = """
import sys
import edgeblend
bundle = edgeblend.convert(*sys.argv[1:3], config=sys.argv[3], class_names=sys.argv[4].split(","))
with edgeblend.Segmenter.load(bundle) as segmenter:
    print(segmenter.info.target)
"""


def test_a_conversion_and_an_opening_under_w_error(tiny_model, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from tiny_model import CLASS_NAMES

    argv = [tiny_model.checkpoint, tmp_path / "made", tiny_model.config, ",".join(CLASS_NAMES)]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CONVERT, *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "openvino"), done.stderr
