import math

import numpy as np
import pytest

from edgeblend.calibration.evaluation.sqnr import OutputSqnr, SqnrTally, sqnr_db

BASES, LOGITS = ("basis", "bases", None), ("detector", "cls_logits", "p3")


def outputs(*values, key=BASES):
    return {key: np.array(values, np.float32).reshape(1, 1, -1)}


@pytest.mark.parametrize(
    ("signal", "noise", "db"),
    [
        (100, 1, 20),
        (1, 1, 0),
        (1, 100, -20),
        (2, 1, 10 * math.log10(2)),
        (5, 0, math.inf),
        (0, 0, math.inf),
        (0, 1, -math.inf),
        (5, math.nan, -math.inf),
        (5, math.inf, -math.inf),
    ],
)
def test_decibels_by_hand(signal, noise, db):
    assert sqnr_db(signal, noise) == pytest.approx(db)


def test_sums_go_over_values_and_frames():
    tally = SqnrTally()
    tally.add(outputs(3, 4), outputs(3, 3))  # 25, and 1 of noise
    tally.add(outputs(5, 0), outputs(4, 0))  # 25, and 1 of noise
    tally.add(outputs(0, 7.0710678), outputs(0, 7.0710678))  # 50, exact
    (output,) = tally.outputs()
    assert output.db == pytest.approx(10 * math.log10(100 / 2))
    assert (output.graph, output.role, output.level, output.name) == ("basis", "bases", None, "bases")


def test_equal_outputs_are_exact():
    tally = SqnrTally()
    values = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    tally.add({LOGITS: values, BASES: values}, {LOGITS: values.copy(), BASES: values.copy()})
    assert tally.outputs() == (OutputSqnr(*LOGITS, math.inf), OutputSqnr(*BASES, math.inf))
    assert tally.outputs()[0].name == "cls_logits p3"


def test_the_difference_is_not_taken_in_float32():
    # One ulp of 1 added to 10,000 ones: float32 would lose it in a sum of that size.
    ones = np.ones(10_000, np.float32)
    tally = SqnrTally()
    tally.add(outputs(*ones), outputs(*(ones + np.spacing(np.float32(1)))))
    assert tally.outputs()[0].db == pytest.approx(-20 * math.log10(2**-23), abs=1e-6)


def test_ten_times_the_noise_costs_twenty_decibels():
    random = np.random.default_rng(1)
    signal, noise = random.normal(size=1000), random.normal(size=1000)
    dbs = []
    for scale in (0.01, 0.1):
        tally = SqnrTally()
        tally.add(outputs(*signal), outputs(*(signal + scale * noise)))
        dbs.append(tally.outputs()[0].db)
    assert dbs[0] - dbs[1] == pytest.approx(20, abs=1e-3)
    assert dbs[1] == pytest.approx(20, abs=1)


def test_values_that_are_not_finite_are_infinite_noise():
    for wrong in (math.nan, math.inf):
        tally = SqnrTally()
        tally.add(outputs(1, 2), outputs(1, wrong))
        tally.add(outputs(1, 2), outputs(1, 2))
        assert tally.outputs()[0].db == -math.inf


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_reference_that_is_not_finite_is_no_match(wrong):
    tally = SqnrTally()
    tally.add(outputs(1, wrong), outputs(1, wrong))
    tally.add(outputs(1, 2), outputs(1, 2))
    assert tally.outputs()[0].db == -math.inf
    for signal, noise in ((wrong, 0.0), (wrong, 1.0), (1.0, wrong)):
        assert sqnr_db(signal, noise) == -math.inf


def test_what_has_no_counterpart_is_left_out():
    tally = SqnrTally()
    tally.add(
        {**outputs(1, 2), **outputs(1, 2, key=LOGITS)},
        {**outputs(1, 2, 3), **outputs(1, 2, key=("detector", "attention", "p3"))},
    )
    assert tally.outputs() == ()
