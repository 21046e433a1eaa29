"""Numbers and paths that an argument does not take are refused by type, range and kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeblend.arguments.checks import check_path, check_probability, check_share, check_whole
from edgeblend.errors import InputError


@pytest.mark.parametrize("value", [1, 4, np.int64(4), np.uint8(2)])
def test_whole_numbers_in_range_come_back_as_ints(value: object) -> None:
    found = check_whole("threads", value, 1, 4)
    assert found == value
    assert type(found) is int


@pytest.mark.parametrize(
    "value", [0, -1, 5, 3_000_000_000, True, False, "2", 2.0, 2.5, None, [1], np.bool_(True)]
)
def test_any_other_value_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="threads"):
        check_whole("threads", value, 1, 4)


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.25), 0.999])
def test_shares_come_back_as_floats(value: object) -> None:
    found = check_share("score_threshold", value)
    assert found == value
    assert type(found) is float


@pytest.mark.parametrize("value", [1, -0.1, float("nan"), float("inf"), "0.5", None, True, 0.5j])
def test_what_is_no_share_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="score_threshold must be at least 0"):
        check_share("score_threshold", value)


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.25)])
def test_probabilities_come_back_as_floats(value: object) -> None:
    found = check_probability("threshold", value)
    assert found == value
    assert type(found) is float


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), float("inf"), "0.5", None, True, [0.5]])
def test_what_is_no_probability_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="threshold must be from 0 to 1"):
        check_probability("threshold", value)


@pytest.mark.parametrize("value", ["a/b", Path("a/b")])
def test_paths_come_back_as_paths(value: object) -> None:
    assert check_path("out", value) == Path("a/b")


@pytest.mark.parametrize("value", [3, None, True, b"a", [], {}])
def test_what_is_no_path_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="out: got .*; give the path of a file or folder"):
        check_path("out", value)
