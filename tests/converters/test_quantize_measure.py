import math
from contextlib import ExitStack

import numpy as np
import pytest

from edgeblend.calibration.evaluation.agreement_totals import AgreementTotals, compare_instances, totals_of
from edgeblend.calibration.sampling.sample import sample_frames
from edgeblend.converters.opened import OpenGraph, open_network
from edgeblend.converters.quantize.measure import measure_agreement
from edgeblend.errors import ConversionError

pytest.importorskip("openvino")

from small_bundle import frames  # noqa: E402 - as above


def altered(graph, change, names=None):
    return OpenGraph(graph.spec, Altered(graph.session, change, names))


class Altered:
    """A session whose outputs are changed on the way."""

    def __init__(self, session, change, names=None):
        self._session, self._change, self._names = session, change, names
        self.info, self.close = session.info, session.close

    def run(self, inputs):
        outputs = self._session.run(inputs)
        return {
            name: self._change(value) if self._names is None or name in self._names else value
            for name, value in outputs.items()
        }


@pytest.fixture(scope="module")
def reference(small_bundle):
    with ExitStack() as stack:
        yield open_network(small_bundle, stack)


def measured(reference, candidate, count=3):
    return measure_agreement(reference, reference.with_graphs(candidate), sample_frames(frames(count)))


def test_a_bundle_agrees_with_itself(small_bundle, reference):
    found = measured(reference, {})
    assert (found.frames, found.agreement) == (3, 100)
    names = [(one.graph, one.tensor) for one in found.tensors]
    expected = [
        (part, spec.name) for part in ("detector", "basis") for spec in small_bundle.graph(part).outputs
    ]
    assert names == expected
    assert {one.sqnr_db for one in found.tensors} == {None}


def test_one_percent_is_forty_decibels(small_bundle, reference):
    basis = altered(reference.open_graphs["basis"], lambda values: values * np.float32(1.01))
    found = {one.tensor: one.sqnr_db for one in measured(reference, {"basis": basis}).tensors}
    assert found.pop("bases") == pytest.approx(40, abs=0.01)
    assert set(found.values()) == {None}


def test_the_agreement_is_that_of_the_segmenters(small_bundle, reference):
    candidate = {"basis": altered(reference.open_graphs["basis"], lambda values: values + 1)}
    found = measured(reference, candidate)
    other = reference.with_graphs(candidate)
    totals = AgreementTotals()
    for picture in frames(3):
        totals += totals_of(compare_instances(reference.segment(picture), other.segment(picture)))
    assert found.agreement == round(totals.agreement, 3) < 100


def test_of_many_frames_sixteen_are_compared_from_first_to_last(small_bundle, reference):
    seen = []

    def look(values):
        seen.append(float(values.mean()))
        return values

    found = measured(reference, {"detector": altered(reference.open_graphs["detector"], look, {"p3"})}, 20)
    assert found.frames == 16
    assert len(set(seen)) == 16
    first, last = (
        float(reference.open_graphs["detector"].session.run({"image": picture[None]})["p3"].mean())
        for picture in (frames(20)[0], frames(20)[-1])
    )
    assert (seen[0], seen[-1]) == (first, last)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("part", "tensor", "name"),
    [("basis", "bases", "bases"), ("detector", "cls_logits_p3", "cls_logits p3")],
)
def test_values_that_are_not_finite_are_refused(value, part, tensor, name, small_bundle, reference):
    broken = altered(reference.open_graphs[part], lambda values: np.full_like(values, value), {tensor})
    with pytest.raises(ConversionError, match=f"not finite, or noise alone, for {name}; nothing was written"):
        measured(reference, {part: broken})


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_float_bundle_that_is_not_finite_is_refused(wrong, small_bundle, reference):
    """Not told of the quantized bundle, which cannot be better."""

    def change(values):
        values = values.copy()
        values.flat[:2] = wrong
        return values

    broken = reference.with_graphs({"basis": altered(reference.open_graphs["basis"], change)})
    with pytest.raises(
        ConversionError, match=r"^the float bundle gives nan .* 2 of \d+ values of basis output"
    ):
        measure_agreement(broken, reference, sample_frames(frames(3)))
