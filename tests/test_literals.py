"""Every parameter that takes one of a few words refuses others: found by its annotation, and tried.

A parameter that is new here fails until it is either tried or listed with the reason why nobody outside can
give it.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace, UnionType
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from bundle_factory import write_tiny_bundle

pytest.importorskip("torch")
pytest.importorskip("nncf")
pytest.importorskip("onnx")
pytest.importorskip("ethosu.vela")
pytest.importorskip("ai_edge_quantizer")
pytest.importorskip("litert_torch")

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.calibration.bench.bench import bench
from edgeblend.calibration.evaluation.compare import compare
from edgeblend.calibration.evaluation.compare_report import ap_change
from edgeblend.calibration.evaluation.evaluate import evaluate
from edgeblend.calibration.measuring.fresh_start import measure_fresh_start
from edgeblend.calibration.measuring.peak_memory import measure_peak_memory
from edgeblend.calibration.measuring.setups import Setup
from edgeblend.calibration.sampling.sample import sample_frames
from edgeblend.converters import plan
from edgeblend.converters.convert import convert
from edgeblend.converters.ethos_u import vela
from edgeblend.converters.ethos_u.convert import convert_for_ethos_u
from edgeblend.converters.quantize.recipe_files import load_recipe
from edgeblend.converters.reference import torch_segmenter
from edgeblend.converters.split import split_network
from edgeblend.converters.targets import check_target
from edgeblend.draw.overlay import draw
from edgeblend.errors import InputError
from edgeblend.recipe import Recipe
from edgeblend.results import Instances
from edgeblend.runtime import blender
from edgeblend.runtime.assemble import place
from edgeblend.runtime.images import to_frame
from edgeblend.runtime.segmenter import Segmenter
from edgeblend.runtime.sessions import engine_options, open_sessions
from edgeblend.training.devices import choose_precision
from edgeblend.training.options import TrainingOptions, check_training_options

PACKAGES = ("results", "masks", "draw", "runtime", "calibration", "converters", "training")
WRONG = "no such word"
NOBODY: Any = None  # what is not looked at before the word
EMPTY = np.zeros((4, 6, 3), np.uint8)
NOTHING = Instances.empty((4, 6), ("cat",), 2)


def closed(bundle: Bundle) -> Segmenter:
    """A segmenter without an engine."""
    return Segmenter(bundle.manifest, {}, attention=None)


Attempt = Callable[[Any, Bundle], object]

TRIED: dict[str, Attempt] = {
    "bundle.Bundle.graph(part)": lambda word, bundle: bundle.graph(word),
    "bundle.Bundle.graph_files(part)": lambda word, bundle: bundle.graph_files(word),
    "calibration.bench.bench.bench(precision)": lambda word, bundle: bench(bundle, precision=word),
    "calibration.evaluation.compare.compare(precision)": lambda word, bundle: compare(
        bundle, [bundle], bundle.path, precision=word
    ),
    "calibration.evaluation.evaluate.evaluate(precision)": lambda word, bundle: evaluate(
        bundle, bundle.path, "a.json", precision=word
    ),
    "calibration.evaluation.compare_report.ap_change(kind)": lambda word, bundle: ap_change(None, None, word),
    "calibration.measuring.fresh_start.measure_fresh_start(precision)": lambda word, bundle: (
        measure_fresh_start(bundle, [], precision=word)
    ),
    "calibration.measuring.peak_memory.measure_peak_memory(precision)": lambda word, bundle: (
        measure_peak_memory(bundle, [], precision=word)
    ),
    "calibration.measuring.setups.Setup(precision)": lambda word, bundle: bench(
        Setup(bundle, precision=word), precision=WRONG if word is None else "f32"
    ),  # None leaves the word to the call
    "calibration.sampling.sample.sample_frames(near_duplicates)": lambda word, bundle: sample_frames(
        bundle.path, near_duplicates=word
    ),
    "converters.convert.convert(precision)": lambda word, bundle: convert(
        "m.pth", "out", config="R_50_1x", precision=word
    ),
    "converters.convert.convert(attention)": lambda word, bundle: convert(
        "m.pth", "out", config="R_50_1x", attention=word
    ),
    "converters.plan.ConvertOptions(precision)": lambda word, bundle: plan.check_options(
        plan.ConvertOptions(precision=word)
    ),
    "converters.plan.ConvertOptions(attention)": lambda word, bundle: plan.check_options(
        plan.ConvertOptions(attention=word)
    ),
    "converters.ethos_u.convert.convert_for_ethos_u(optimise)": lambda word, bundle: convert_for_ethos_u(
        bundle, "out", optimise=word
    ),
    "converters.reference.torch_segmenter(attention)": lambda word, bundle: torch_segmenter(
        NOBODY, attention=word
    ),
    "converters.reference.torch_segmenter(paste)": lambda word, bundle: torch_segmenter(NOBODY, paste=word),
    "converters.split.split_network(attention)": lambda word, bundle: split_network(NOBODY, attention=word),
    "converters.targets.check_target(precision)": lambda word, bundle: check_target(
        SimpleNamespace(PRECISIONS=("fp32",)), "openvino", NOBODY, precision=word, dynamic=False
    ),
    "converters.ethos_u.vela.VelaOptions(optimise)": lambda word, bundle: vela.check_options(
        vela.VelaOptions(optimise=word)
    ),
    **{
        f"recipe.Recipe({name})": lambda word, bundle, name=name: load_recipe(
            Recipe(name="mine", **{name: word})
        )
        for name in ("activations", "bias_correction", "range_estimator", "detector", "basis")
    },
    "recipe.Recipe(float_roles)": lambda word, bundle: load_recipe(Recipe(name="mine", float_roles=(word,))),
    "draw.overlay.draw(color)": lambda word, bundle: draw(EMPTY, NOTHING, color=word),
    "results.instances.Instances.draw(color)": lambda word, bundle: NOTHING.draw(EMPTY, color=word),
    "results.instances.Instances.to_coco(segmentation)": lambda word, bundle: Instances.empty(
        (4, 6), ("cat",), 2
    ).to_coco(1, segmentation=word),
    "runtime.images.to_frame(color)": lambda word, bundle: to_frame("image", EMPTY, color=word),
    "runtime.segmenter.Segmenter.stream(color)": lambda word, bundle: closed(bundle).stream([], color=word),
    "runtime.segmenter.Segmenter.stream(errors)": lambda word, bundle: closed(bundle).stream([], errors=word),
    "runtime.assemble.place(paste)": lambda word, bundle: place(
        NOBODY, NOBODY, scale=(1, 1), frame_size=(4, 6), paste=word
    ),
    "runtime.backends.base.EngineOptions(precision)": lambda word, bundle: open_sessions(
        bundle, precision=word
    ),
    "runtime.blender.blend(interpolation)": lambda word, bundle: blender.blend(
        np.zeros((0, 4, 56, 56), np.float32), np.zeros((0, 4, 14, 14), np.float32), interpolation=word
    ),
    "runtime.blender.blend_boxes(interpolation)": lambda word, bundle: blender.blend_boxes(
        np.zeros((4, 8, 8), np.float32),
        np.zeros((0, 4), np.float32),
        np.zeros((0, 4, 14, 14), np.float32),
        spatial_scale=0.25,
        mask_size=56,
        interpolation=word,
    ),
    "runtime.segmenter.Segmenter.__init__(paste)": lambda word, bundle: Segmenter(
        bundle.manifest, {}, attention=None, paste=word
    ),
    "runtime.segmenter.Segmenter.from_sessions(paste)": lambda word, bundle: Segmenter.from_sessions(
        bundle, {}, paste=word
    ),
    "runtime.segmenter.Segmenter.load(paste)": lambda word, bundle: Segmenter.load(bundle, paste=word),
    "runtime.segmenter.Segmenter.load(precision)": lambda word, bundle: Segmenter.load(
        bundle, precision={"detector": "f32", "basis": word}
    ),
    "runtime.sessions.engine_options(precision)": lambda word, bundle: engine_options(precision=word),
    "runtime.sessions.open_sessions(precision)": lambda word, bundle: open_sessions(bundle, precision=word),
    "training.devices.choose_precision(precision)": lambda word, bundle: choose_precision(word, NOBODY),
    "training.options.TrainingOptions(optimizer)": lambda word, bundle: check_training_options(
        TrainingOptions(optimizer=word)
    ),
    "training.options.TrainingOptions(precision)": lambda word, bundle: check_training_options(
        TrainingOptions(precision=word)
    ),
}
"""Each parameter, and a call that gives it a word and nothing else that is wrong."""

OURS = {
    "a word that its caller has checked": (
        "calibration.evaluation.coco_matches.evaluator_settings(kind)",
        "calibration.evaluation.coco_matches.match_detections(kind)",
        "calibration.data.sources.why_no_file(kind)",
        "converters.opened.ExportedGraph.spec(precision)",
        "converters.openvino.npu_lint.lint_model(part)",
        "converters.onnx.export.export_graph(precision)",
        "converters.openvino.export.export_graph(precision)",
        "converters.tflite.toolkit.save_model(part)",
        "converters.openvino.toolkit.save_model(part)",
        "converters.onnx.toolkit.save_model(part)",
        "converters.quantize.feeds.feed_of(part)",
        "converters.quantize.part.QuantizedPart(part)",
        "converters.quantize.search.nothing_in_int8(part)",
        "converters.quantize.toolkits.Toolkit.save_model(part)",
        "converters.split.DetectorGraph.__init__(attention)",
        "converters.targets.Target.export_graph(precision)",
        "runtime.stream.stream_frames(color)",
        "runtime.stream.stream_frames(errors)",
        "converters.tflite.export.export_graph(precision)",
        "converters.tflite.precision.round_weights(precision)",
        "converters.ethos_u.vela_report.graph_report(part)",
        "calibration.measuring.setups.RunOptions(precision)",
        "runtime.pipeline.HostPipeline.__init__(paste)",
    ),
    "a result, which nobody else makes": (
        "calibration.evaluation.compare_report.ComparedCandidate",
        "calibration.evaluation.sqnr.OutputSqnr",
        "converters.openvino.npu_lint.LintFinding",
        "converters.quantize.probe.LayerSensitivity",
        "converters.quantize.probe.Probe",
        "converters.split.SplitGraph",
        "converters.ethos_u.vela_report.GraphReport",
        "runtime.segmenter.SegmenterInfo",
    ),
    "checked when a file is read": ("manifest", "spec"),
}
"""Why nobody outside can give a word: functions, classes or modules by the reason."""


class Parameter(NamedTuple):
    where: str
    name: str

    def __str__(self) -> str:
        return f"{self.where}({self.name})"


def takes_words(annotation: object) -> bool:
    """Whether values of a type are words, or hold words other than as the keys of a mapping."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return True
    if isinstance(origin, type) and issubclass(origin, Mapping):
        inner = inner[1:]
    return (origin in (typing.Union, UnionType) or isinstance(origin, type)) and any(map(takes_words, inner))


def parameters_of(where: str, thing: object, module: ModuleType) -> Iterator[Parameter]:
    if inspect.isfunction(thing):
        for name, parameter in inspect.signature(thing).parameters.items():
            annotation = parameter.annotation
            if isinstance(annotation, str):
                names = {
                    **vars(edgeblend.manifest),
                    **vars(edgeblend.runtime.images),
                    **vars(module),
                }  # what only type checkers import, too
                annotation = eval(annotation, names)  # noqa: S307 - our own source
            if takes_words(annotation):
                yield Parameter(where, name)
    elif inspect.isclass(thing):
        if dataclasses.is_dataclass(thing) or hasattr(thing, "__struct_fields__"):
            hints = typing.get_type_hints(thing)
            yield from (Parameter(where, name) for name, hint in hints.items() if takes_words(hint))
        made_up = dataclasses.is_dataclass(thing)
        for name, member in vars(thing).items():
            if not name.startswith("_") or (name == "__init__" and not made_up):
                function = getattr(member, "__func__", member)
                yield from parameters_of(f"{where}.{name}", function, module)


def modules() -> Iterator[ModuleType]:
    yield edgeblend
    for info in pkgutil.iter_modules(edgeblend.__path__):
        if not info.ispkg:
            yield importlib.import_module(f"edgeblend.{info.name}")
    for package in PACKAGES:
        root = importlib.import_module(f"edgeblend.{package}")
        for info in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            yield importlib.import_module(info.name)


def found() -> Iterator[Parameter]:
    for module in modules():
        short = module.__name__.removeprefix("edgeblend.")
        for name, thing in vars(module).items():
            if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__:
                yield from parameters_of(f"{short}.{name}", thing, module)


def is_ours(parameter: Parameter) -> bool:
    places = [place for listed in OURS.values() for place in listed]
    return any(
        str(parameter) == place or parameter.where == place or parameter.where.startswith(f"{place}.")
        for place in places
    )


def test_every_parameter_that_takes_words_is_tried() -> None:
    every = {str(parameter): parameter for parameter in found()}
    assert {name for name, parameter in every.items() if not is_ours(parameter)} == set(TRIED)


def test_nothing_is_listed_that_is_not_there() -> None:
    every = list(found())
    for name in (name for listed in OURS.values() for name in listed):
        assert any(
            str(parameter) == name or f"{parameter.where}.".startswith(f"{name}.") for parameter in every
        ), name


@pytest.mark.parametrize("word", [WRONG, None, 5])
@pytest.mark.parametrize("name", TRIED)
def test_another_word_is_refused(
    name: str, word: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = Bundle.load(write_tiny_bundle(tmp_path / "tiny"))
    before = sorted(tmp_path.rglob("*"))
    parameter = name.partition("(")[2].rstrip(")")
    with pytest.raises(InputError, match=f"{word}|{parameter}"):
        TRIED[name](word, bundle)
    assert sorted(tmp_path.rglob("*")) == before


# The search itself, on functions that it must and must not find


def one_word(word: Literal["a", "b"]) -> None: ...


def perhaps_words(words: Mapping[str, Literal["a"]] | None) -> None: ...


def keys(words: Mapping[Literal["a"], str]) -> None: ...


def no_word(word: str, count: int = 0) -> Literal["a"]: ...


@pytest.mark.parametrize(
    ("function", "expected"),
    [(one_word, ["f(word)"]), (perhaps_words, ["f(words)"]), (keys, []), (no_word, [])],
)
def test_what_is_found(function: Callable[..., object], expected: list[str]) -> None:
    module = importlib.import_module(__name__)
    assert [str(parameter) for parameter in parameters_of("f", function, module)] == expected
