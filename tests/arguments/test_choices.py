"""A word that an argument does not take is refused, with those that it takes."""

from __future__ import annotations

import pytest

from edgeblend.arguments.choices import check_choice
from edgeblend.errors import InputError


def test_a_known_word_passes() -> None:
    check_choice("segmentation", "rle", ("rle", "polygons"))


@pytest.mark.parametrize("value", ["polygon", "RLE", "", None, 1, ["rle"]])
def test_any_other_value_is_refused_with_the_choices(value: object) -> None:
    with pytest.raises(InputError, match="segmentation: unknown value .*choose one of rle, polygons"):
        check_choice("segmentation", value, ("rle", "polygons"))
