"""The shipped model in INT8: it keeps its accuracy, and calibration that is wrong is found out."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import edgeblend
from edgeblend.calibration.evaluation.compare_report import CompareReport
from edgeblend.calibration.sampling.sample import sample_frames

DATA = Path(str(files("edgeblend.demo_data")))
STEM = "backbone.bottom_up.stem.weight"

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> CompareReport:
    """Float against good INT8, INT8 from black frames, from one picture twenty times, and a float graph that
    takes blue for red."""
    folder = tmp_path_factory.mktemp("demo-model")
    names = DATA / "classes.txt"
    config = DATA / "config.yaml"
    float32 = edgeblend.convert(
        DATA / "model.safetensors", folder / "float32", config=config, class_names=names
    )
    edgeblend.quantize(float32, folder / "good", calibration=DATA / "calibration", recipe=DATA / "int8.json")
    quick = edgeblend.Recipe(name="quick", bias_correction="none")
    picture = edgeblend.read_image(sorted((DATA / "calibration").glob("*.jpg"))[0])
    for name, frame in (("black", np.zeros_like(picture)), ("copies", picture)):
        frames = sample_frames([frame] * 20, near_duplicates="keep")
        edgeblend.quantize(float32, folder / name, calibration=frames, recipe=quick)
    weights = load_file(DATA / "model.safetensors")
    weights[STEM] = np.ascontiguousarray(weights[STEM][:, ::-1])
    save_file(weights, folder / "swapped.safetensors")
    edgeblend.convert(folder / "swapped.safetensors", folder / "swapped", config=config, class_names=names)
    bundles = [folder / name for name in ("good", "black", "copies", "swapped")]
    return edgeblend.compare(float32, bundles, DATA / "val", annotations=DATA / "val.json", limit=100)


def test_int8_loses_half_a_point_at_most(report: CompareReport) -> None:
    good = report.candidates[0]
    assert (good.name, good.status) == ("good", "OK")
    assert good.drop <= 0.5
    assert good.agreement.agreement > 95


def test_int8_is_a_third_of_the_size(report: CompareReport) -> None:
    assert report.candidates[0].figures.bytes < 0.4 * report.reference.figures.bytes


@pytest.mark.parametrize("place", [1, 2, 3])
def test_what_is_wrong_is_found_out(report: CompareReport, place: int) -> None:
    candidate, good = report.candidates[place], report.candidates[0]
    assert candidate.status == "DROP", (candidate.name, candidate.drop)
    assert not report.ok
    assert candidate.agreement.agreement < good.agreement.agreement - 1
    noise = {(one.graph, one.role, one.level): one.db for one in candidate.sqnr}
    assert all(noise[one.graph, one.role, one.level] < one.db for one in good.sqnr)
