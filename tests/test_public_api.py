"""Every parameter of the public interface refuses values of other types, with an error that names it.

The parameters are found by their signatures: one that is new fails until it is listed here with its kind.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from bundle_factory import write_tiny_bundle

pytest.importorskip("torch")
pytest.importorskip("nncf")
pytest.importorskip("ethosu.vela")
pytest.importorskip("supervision")

import edgeblend
from edgeblend import Augmentation, Bundle, Instances, Recipe, Segmenter, Setup, TrainingOptions
from edgeblend.calibration.data.coco import read_coco
from edgeblend.calibration.data.frames import open_frames
from edgeblend.calibration.data.sources import find_images
from edgeblend.calibration.sampling.sample import sample_frames
from edgeblend.converters.quantize.recipe_files import load_recipe
from edgeblend.errors import EdgeBlendError
from edgeblend.model.checkpoints.read import read_checkpoint
from edgeblend.model.config import load_config
from edgeblend.training.options import check_training_options

OBJECT = object()

WRONG: dict[str, tuple[object, ...]] = {
    "path": (5, None, b"a", [], OBJECT),
    "path or none": (5, b"a", [], OBJECT),
    "flag": ("yes", 1, None, [], OBJECT, math.nan),
    "callback": (5, "print", [], True),
    "whole": ("2", 2.5, True, None, math.nan, [1], OBJECT),
    "whole or none": ("2", 2.5, True, math.nan, [1], OBJECT),
    "number": ("1", None, True, math.nan, math.inf, [1.0], 1j, OBJECT),
    "number or infinity": ("1", None, True, math.nan, [1.0], 1j, OBJECT),
    "two numbers": (5, None, "12", (1,), ("1", "2"), (True, True), {1: 2, 3: 4}),
    "number or none": ("1", True, math.nan, math.inf, [1.0], 1j, OBJECT),
    "text": (5, None, b"a", [], OBJECT),
    "text or none": (5, b"a", [], OBJECT),
    "word": (5, None, "no such word", b"a", [], OBJECT),
    "word or none": (5, "no such word", b"a", [], OBJECT),
    "size": (5, None, "12", (1,), (1.5, 2.5), ("4", "6"), {4: 5, 6: 7}, (0, 5), (True, True)),
    "size or none": (5, "12", (1,), (1.5, 2.5), ("4", "6"), {4: 5, 6: 7}, (0, 5), (True, True)),
    "ids": (5, "12", b"12", {1: 2, 3: 4}, [1.5, 2.5], ["1", "2"], [None, 1], [True, False]),
    "frames": (5, None, b"a", True, {}, OBJECT),
    "frames or none": (5, b"a", True, {}, OBJECT),
    "bundles": (5, None, OBJECT, [5], [None], {}),
    "candidates": (5, None, OBJECT, "r50", [5], [None], {}, []),
    "names or none": (5, b"a", [5], {}, OBJECT),
    "mapping": (5, None, [], "a", OBJECT),
    "mapping or none": (5, [], "a", OBJECT),
    "tuple": (5, None, [], "a", OBJECT),
    "array": (5, None, [], "a", OBJECT),
    "object": (5, None, [], "a", OBJECT),
    "object or none": (5, [], "a", OBJECT),
    "words": (5, None, "a", [5], OBJECT),
    "recipe": (5, None, b"a", [], OBJECT),
    "image": (5, None, b"a", [], OBJECT),
    "numbers or none": (5, "1", b"1", {1: 2}, [1.5], ["1"], [None], [True], [], [1, 2], [-1], OBJECT),
    "recipe or none": (5, b"a", [], OBJECT),
}
"""What is no value of each kind."""


class Place(NamedTuple):
    """A function of the public interface: how it is called, and the kind of each parameter."""

    call: Callable[..., object]
    right: Mapping[str, object]
    """Values for the parameters that have no default."""
    kinds: Mapping[str, str]


def instances() -> Instances:
    return Instances(
        boxes=np.array([[0, 0, 2, 2]], np.float32),
        scores=np.ones(1, np.float32),
        classes=np.zeros(1, np.int64),
        class_names=("cat", "dog"),
        mask_probs=np.ones((1, 2, 2), np.float32),
        mask_boxes=np.array([[0, 0, 2, 2]], np.float32),
        frame_size=(4, 6),
    )


def trained(**given: object) -> None:
    check_training_options(TrainingOptions(**given))


def augmented(**given: object) -> None:
    check_training_options(TrainingOptions(augmentation=Augmentation(**given)))


def with_recipe(**given: object) -> None:
    load_recipe(Recipe(**given))


def places(bundle: Bundle, segmenter: Any = None) -> dict[str, Place]:
    """Return the functions of ``edgeblend`` and of its classes, for a bundle that no engine opens."""
    segmenter = segmenter or Segmenter(bundle.manifest, {}, attention=None)
    engine = {
        "device": "text",
        "precision": "word",
        "threads": "whole or none",
    }
    threshold = {"threshold": "number"}
    return {
        "Augmentation": Place(
            augmented,
            {},
            {
                "flip": "flag",
                "scales": "two numbers",
                **dict.fromkeys(("brightness", "contrast", "saturation"), "number"),
            },
        ),
        "Bundle.load": Place(Bundle.load, {}, {"path": "path"}),
        "Bundle.file": Place(bundle.file, {}, {"spec": "object"}),
        "Bundle.graph": Place(bundle.graph, {}, {"part": "word"}),
        "Bundle.graph_files": Place(bundle.graph_files, {}, {"part": "word"}),
        "Instances": Place(
            lambda **given: Instances(**{**vars_of(instances()), **given}),
            {},
            {
                **dict.fromkeys(("boxes", "scores", "classes", "mask_probs", "mask_boxes"), "array"),
                **{"class_names": "tuple", "category_ids": "tuple"},
                **{"frame_size": "size", "timings_ms": "mapping"},
            },
        ),
        "Instances.empty": Place(
            Instances.empty,
            {"frame_size": (4, 6), "class_names": ("cat",), "mask_size": 2},
            {"frame_size": "size", "class_names": "tuple", "mask_size": "whole", "category_ids": "tuple"},
        ),
        "Instance.mask": Place(instances()[0].mask, {}, threshold),
        "Instance.rle": Place(instances()[0].rle, {}, threshold),
        "Instance.polygon": Place(instances()[0].polygon, {}, {**threshold, "tolerance": "number"}),
        "Instance.polygons": Place(instances()[0].polygons, {}, {**threshold, "tolerance": "number"}),
        "Instances.masks": Place(instances().masks, {}, threshold),
        "Instances.rle": Place(instances().rle, {}, threshold),
        "Instances.polygons": Place(instances().polygons, {}, {**threshold, "tolerance": "number"}),
        "Instances.areas": Place(instances().areas, {}, threshold),
        "Instances.to_coco": Place(
            instances().to_coco,
            {"image_id": 1},
            {"image_id": "whole", "category_ids": "ids", "segmentation": "word", **threshold},
        ),
        "Instances.draw": Place(
            instances().draw,
            {"frame": np.zeros((4, 6, 3), np.uint8)},
            {"frame": "image", "color": "word", "colours": "numbers or none"},
        ),
        "Instances.from_json": Place(Instances.from_json, {}, {"text": "text"}),
        "Instances.to_supervision": Place(instances().to_supervision, {}, threshold),
        "Recipe": Place(
            with_recipe,
            {"name": "mine"},
            {
                **{"name": "text", "toolkit": "text or none", "per_channel": "flag", "overflow_safe": "flag"},
                **dict.fromkeys(("activations", "bias_correction", "range_estimator"), "word"),
                **dict.fromkeys(("detector", "basis"), "word"),
                **{"float_roles": "words", "float_below_db": "mapping", "float_layers": "words"},
            },
        ),
        "Segmenter": Place(
            Segmenter,
            {"manifest": bundle.manifest, "sessions": {}, "attention": None},
            {
                **{"manifest": "object", "sessions": "mapping", "attention": "object or none"},
                **{"bundle": "object or none", "streams": "whole"},
                **{"score_threshold": "number or none", "paste": "word"},
            },
        ),
        "Segmenter.load": Place(
            Segmenter.load,
            {"path": bundle},
            {
                **engine,
                **{
                    "path": "path",
                    "backend": "text or none",
                    "streams": "whole",
                    "cache_dir": "path or none",
                },
                **{"properties": "mapping or none", "score_threshold": "number or none", "paste": "word"},
            },
        ),
        "Segmenter.from_sessions": Place(
            Segmenter.from_sessions,
            {"bundle": bundle, "sessions": {}},
            {
                **{"bundle": "object", "sessions": "mapping", "streams": "whole"},
                **{"score_threshold": "number or none", "paste": "word"},
            },
        ),
        "Segmenter.__call__": Place(
            lambda **given: segmenter(**given),
            {"image": np.zeros((4, 6, 3), np.uint8)},
            {"image": "image", "color": "word", "output_size": "size or none"},
        ),
        "Segmenter.stream": Place(
            lambda **given: segmenter.stream(**given),
            {"frames": []},
            {
                **{"frames": "frames", "in_flight": "whole or none", "output_size": "size or none"},
                **{"color": "word", "with_frames": "flag", "errors": "word"},
            },
        ),
        "Setup": Place(
            Setup,
            {"bundle": bundle},
            {
                **{"bundle": "path", "backend": "text or none", "device": "text or none"},
                **{"precision": "word or none", "threads": "whole or none"},
                **{"properties": "mapping or none", "name": "text or none"},
            },
        ),
        "TrainingOptions": Place(
            trained,
            {},
            {
                **dict.fromkeys(("epochs", "batch_size", "warmup_steps", "workers"), "whole"),
                **dict.fromkeys(("seed", "evaluate_every"), "whole"),
                **dict.fromkeys(("learning_rate", "weight_decay"), "number or none"),
                **{"backbone_factor": "number", "average_decay": "number", "clip_norm": "number or infinity"},
                **{"optimizer": "word", "precision": "word", "device": "text", "augmentation": "object"},
            },
        ),
        "bench": Place(
            edgeblend.bench,
            {"bundles": bundle},
            {
                **engine,
                **{"bundles": "bundles", "frames": "frames or none", "frame_size": "size or none"},
                **{"score_threshold": "number or none", "seconds": "number", "streams": "whole or none"},
                **{"progress": "flag"},
            },
        ),
        "compare": Place(
            edgeblend.compare,
            {"reference": bundle, "candidates": [bundle], "images": bundle.path},
            {
                **engine,
                **{"reference": "path", "candidates": "candidates", "images": "path"},
                **{"annotations": "path or none", "max_drop": "number or none", "limit": "whole or none"},
                **{"disagreements": "whole", "beside": "mapping or none", "progress": "flag"},
            },
        ),
        "convert": Place(
            edgeblend.convert,
            {"checkpoint": "m.pth", "out": "out", "config": "R_50_1x", "class_names": ("cat", "dog")},
            {
                **{"checkpoint": "path", "out": "path", "config": "path or none", "target": "text"},
                **{"precision": "word", "input_size": "size or none", "dynamic": "flag", "attention": "word"},
                **{"class_names": "names or none", "category_ids": "ids"},
                **{"verify_on": "frames or none", "calibration": "frames or none"},
                **{"recipe": "recipe or none", "count": "whole"},
                **{"overwrite": "flag", "progress": "callback"},
            },
        ),
        "convert_for_ethos_u": Place(
            edgeblend.convert_for_ethos_u,
            {"bundle": bundle, "out": "out"},
            {
                **{"bundle": "path", "out": "path", "accelerator": "word"},
                **{"system_config": "text or none", "memory_mode": "text or none", "config": "path or none"},
                **{"arena_cache_size": "whole or none", "optimise": "word"},
                **{"overwrite": "flag", "progress": "callback"},
            },
        ),
        "evaluate": Place(
            edgeblend.evaluate,
            {"bundle": bundle, "images": bundle.path, "annotations": "a.json"},
            {
                **engine,
                **{"bundle": "path", "images": "path", "annotations": "path", "boundary": "flag"},
                **{"limit": "whole or none", "progress": "flag"},
            },
        ),
        "lint_for_npu": Place(edgeblend.lint_for_npu, {}, {"bundle": "path"}),
        "measure_sensitivity": Place(
            edgeblend.measure_sensitivity,
            {"bundle": bundle, "calibration": "frames"},
            {
                **{"bundle": "path", "calibration": "frames", "recipe": "recipe", "frames": "whole"},
                **{"images": "path or none", "annotations": "path or none", "seed": "whole"},
                **{"progress": "callback", "report": "callback"},
            },
        ),
        "quantize": Place(
            edgeblend.quantize,
            {"bundle": bundle, "out": "out", "calibration": "frames"},
            {
                **{"bundle": "path", "out": "path", "calibration": "frames", "recipe": "recipe"},
                **{"count": "whole", "seed": "whole", "every": "whole or none"},
                **{"max_drop": "number or none", "images": "path or none", "annotations": "path or none"},
                **{"overwrite": "flag", "progress": "callback", "report": "callback"},
            },
        ),
        "read_image": Place(edgeblend.read_image, {}, {"path": "path"}),
        "train": Place(
            edgeblend.train,
            {"dataset": "train.json", "out": "out", "config": "Lite0_320"},
            {
                **{"dataset": "path", "out": "path", "config": "path", "validation": "path or none"},
                **{"weights": "path or none", "resume": "flag", "options": "object or none"},
                **{"report": "callback", "progress": "flag"},
            },
        ),
    }


def vars_of(made: Instances) -> dict[str, Any]:
    return {name: getattr(made, name) for name in inspect.signature(Instances).parameters}


BESIDE = {
    "find_images": Place(find_images, {}, {"pattern": "path"}),
    "load_config": Place(load_config, {}, {"name_or_path": "path"}),
    "open_frames": Place(open_frames, {"source": []}, {"source": "frames", "every": "whole or none"}),
    "read_checkpoint": Place(read_checkpoint, {}, {"path": "path"}),
    "read_coco": Place(
        read_coco,
        {"annotations": "a.json"},
        {"annotations": "path", "images": "path or none", "class_names": "names or none"},
    ),
    "sample_frames": Place(
        sample_frames,
        {"source": []},
        {
            **{"source": "frames", "count": "whole", "seed": "whole", "every": "whole or none"},
            **{"near_duplicates": "word", "progress": "flag"},
        },
    ),
}
"""Functions that the documentation names beside those in ``edgeblend``."""

NAMED_OTHERWISE = {
    "Segmenter.load(path)": "bundle",
    "find_images(pattern)": "images",
    "load_config(name_or_path)": "config",
    "open_frames(source)": "frames",
    "sample_frames(source)": "frames",
    "Recipe(name)": "recipe",
}
"""What messages call a parameter where that is not its name."""

NOT_CALLED = {
    "Bundle": "Bundle.load makes them",
    "BenchReport": "a result, which nobody else makes",
    "EvaluationReport": "a result, which nobody else makes",
    "Instance": "Instances give them",
}
"""Classes whose constructors are not for callers."""


def signatures() -> Iterator[tuple[str, Any]]:
    """Yield what can be called in ``edgeblend`` by its name: functions, constructors, public methods."""
    for name in edgeblend.__all__:
        thing = getattr(edgeblend, name)
        if not inspect.isclass(thing):
            if callable(thing):
                yield name, thing
        elif not issubclass(thing, BaseException):
            if name not in NOT_CALLED:
                yield name, thing
            for member in vars(thing):
                public = not member.startswith("_") or member == "__call__"
                if public and inspect.isroutine(getattr(thing, member)):
                    yield f"{name}.{member}", getattr(thing, member)


def parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self"}


def tiny_bundle(folder: Path) -> Bundle:
    return Bundle.load(write_tiny_bundle(folder / "tiny"))


def test_every_parameter_is_listed(tmp_path: Path) -> None:
    listed = {name: set(place.kinds) for name, place in places(tiny_bundle(tmp_path)).items()}
    assert {name: found for name, function in signatures() if (found := parameters(function))} == listed


def test_what_is_listed_beside_is_all_there_is() -> None:
    for place in BESIDE.values():
        assert parameters(place.call) == set(place.kinds)


def test_nothing_is_left_out_that_is_not_there() -> None:
    assert set(NOT_CALLED) <= set(edgeblend.__all__)


def _cases() -> list[tuple[str, str, object]]:
    from types import SimpleNamespace

    nobody: Any = SimpleNamespace(**dict.fromkeys(("file", "graph", "graph_files", "path", "manifest")))
    every = {**places(nobody, segmenter=nobody), **BESIDE}
    return [
        (name, parameter, wrong)
        for name, place in every.items()
        for parameter, kind in place.kinds.items()
        for wrong in WRONG[kind]
    ]


@pytest.mark.parametrize(("name", "parameter", "wrong"), _cases())
def test_another_type_is_refused(
    name: str, parameter: str, wrong: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = {**places(tiny_bundle(tmp_path)), **BESIDE}[name]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(EdgeBlendError) as caught:
        place.call(**{**place.right, parameter: wrong})
    word = NAMED_OTHERWISE.get(f"{name}({parameter})", parameter)
    assert re.search(rf"\b{word}\b", str(caught.value)), f"does not name {word}: {caught.value}"
    assert sorted(tmp_path.rglob("*")) == before


def test_the_right_types_pass_the_check(tmp_path: Path) -> None:
    trained()
    augmented(scales=[1, 2], flip=np.bool_(False), contrast=np.float32(0.5))
    with_recipe(name="mine")
    assert instances().to_coco(np.int64(3), category_ids=np.array([7, 8]))[0]["category_id"] == 7
    assert Instances.empty(np.array([4, 6]), ("cat",), 2).frame_size == (4, 6)
