import math

import pytest

from edgeblend.report.figures import counted, decibels, decimals, signed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (decimals(64.274), "64.27"),
        (decimals(0.98765, 4), "0.9877"),
        (decimals(None), "-"),
        (decimals(math.nan), "-"),
        (signed(-0.324), "-0.32"),
        (signed(0.5), "+0.50"),
        (signed(0.0), "0.00"),
        (signed(-0.0), "0.00"),
        (signed(-0.001), "-0.00"),  # not exactly nothing
        (signed(math.nan), "-"),
        (decibels(31.26), "31.3"),
        (decibels(math.inf), "exact"),
        (decibels(-math.inf), "not finite"),
        (counted(1, "picture"), "1 picture"),
        (counted(0, "picture"), "0 pictures"),
    ],
)
def test_figures_as_text(text, expected):
    assert text == expected
