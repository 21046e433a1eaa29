"""Numbers that an argument does not take are refused by type, range and kind."""

from __future__ import annotations

import numpy as np
import pytest

from edgeblend.arguments import check_share, check_whole
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
