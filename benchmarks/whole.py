"""Frames in, masks out: ours and what people run today, in turns: python benchmarks/whole.py [--out FILE].

The real-time config at 512x736 with stand-in weights. Ours is a bundle on OpenVINO and on ONNX Runtime,
float32 and INT8. Theirs is the network in eager torch, and one graph with dense attention
(``monolith.py``) on the same engines, float32 and INT8 (NNCF's defaults), each with post-processing in torch
(``torch_postprocessing.py``). All graphs run as always; heads are replaced by made-up ones, so that
a frame has 10 or 100 detections (``synthetic_heads.py``). Before anything is timed the float32 contestants
must give the same boxes, scores, classes and masks. Prints JSON with medians in milliseconds, and the
medians over the rounds of how many times as fast ours are.

Our INT8 keeps the outputs that need it in float. It goes without bias correction, which takes long to compute
and costs nothing when a graph runs.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import monolith
import nncf
import numpy as np
import onnxruntime
import openvino
import torch
from demo_bundles import DEMO
from in_turns import machine, turns_of
from monolith import Frame, Graph, Pipeline
from planted import planted_segmenter
from postprocessing import decided
from synthetic_heads import CANVAS, synthetic_outputs

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.manifest import Part
from edgeblend.model.blendmask import build_network
from edgeblend.model.checkpoints.read import load_weights, read_checkpoint
from edgeblend.model.checkpoints.stand_in import write_stand_in_checkpoint
from edgeblend.model.config import load_config
from edgeblend.runtime.backends.base import Session
from edgeblend.runtime.sessions import open_sessions

CONFIG = "RT_R_50_4x_bn-head_syncbn_shtw"
ENGINES = ("openvino", "onnxruntime")
COUNTS = (10, 100)
CALIBRATION = 12
"""Pictures that INT8 graphs are calibrated with."""
RECIPE = edgeblend.Recipe(name="speed", bias_correction="none", float_roles=("box_reg", "centerness"))

Work = Callable[[], object]


class Ours(NamedTuple):
    """A bundle and its open sessions."""

    bundle: Bundle
    sessions: dict[Part, Session]


class Contestants(NamedTuple):
    """``float32`` and ``int8``, and of theirs ``torch``."""

    ours: dict[str, Ours]
    theirs: dict[str, Graph]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--work", type=Path, help="folder to convert into; what is there already is taken")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    nncf.set_log_level(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        frames = pictures()
        engines = {}
        for engine in args.engines:
            with redirect_stdout(sys.stderr):  # progress bars
                contestants = prepare(args.work or Path(folder), args.config, engine, frames)
            engines[engine] = {count: measure(contestants, count, frames[0], args.rounds) for count in COUNTS}
    versions = {module.__name__: module.__version__ for module in (torch, openvino, onnxruntime, nncf, np)}
    report = {
        "machine": machine(),
        "versions": versions,
        "threads": torch.get_num_threads(),
        "config": args.config,
        "canvas": CANVAS,
        "rounds": args.rounds,
        "by_engine_and_detections": engines,
    }
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


def pictures() -> list[Frame]:
    """Return the demo model's calibration pictures at the canvas's size."""
    paths = sorted(DEMO.calibration.glob("*.jpg"))[:CALIBRATION]
    return [np.asarray(cv2.resize(edgeblend.read_image(path), CANVAS[::-1]), np.uint8) for path in paths]


def prepare(folder: Path, config: str, engine: str, frames: list[Frame]) -> Contestants:
    """Convert, quantize and open everything that runs on an engine, and the network in torch."""
    folder.mkdir(exist_ok=True)
    checkpoint = write_stand_in_checkpoint(config, folder / "stand_in.pth", seed=3)
    network = build_network(load_config(config))
    load_weights(network, read_checkpoint(checkpoint), source=str(checkpoint))
    single = folder / "monolith.onnx"
    if not single.exists():
        monolith.export(network, CANVAS, single)
    quantize, load, suffix = {
        "openvino": (monolith.quantize_openvino, monolith.in_openvino, ".xml"),
        "onnxruntime": (monolith.quantize_onnx, monolith.in_onnxruntime, ".onnx"),
    }[engine]
    single_int8 = folder / f"monolith_{engine}_int8{suffix}"
    if not single_int8.exists():
        quantize(single, [frame[None] for frame in frames], single_int8)
    float32, int8 = folder / engine, folder / f"{engine}_int8"
    if not float32.exists():
        edgeblend.convert(checkpoint, float32, config=config, input_size=CANVAS, target=engine)
    if not int8.exists():
        edgeblend.quantize(float32, int8, calibration=iter(frames), recipe=RECIPE)
    bundles = {"float32": Bundle.load(float32), "int8": Bundle.load(int8)}
    return Contestants(
        ours={name: Ours(bundle, open_sessions(bundle)) for name, bundle in bundles.items()},
        theirs={"torch": monolith.in_torch(network), "float32": load(single), "int8": load(single_int8)},
    )


def measure(contestants: Contestants, count: int, frame: Frame, rounds: int) -> dict[str, Any]:
    """Check that all find the same, and time them in turns."""
    made_up = synthetic_outputs(count)
    spec = contestants.ours["float32"].bundle.manifest
    segmenters = {name: planted_segmenter(*one, made_up) for name, one in contestants.ours.items()}
    pipelines = {
        name: Pipeline(graph, spec.decode, spec.blend, made_up) for name, graph in contestants.theirs.items()
    }
    for ours, theirs in (("float32", "torch"), ("float32", "float32"), ("int8", "int8")):
        found = segmenters[ours](frame)
        check_equal(found, pipelines[theirs](frame), same_masks=ours == "float32")
    swapped = np.ascontiguousarray(frame[..., ::-1])
    try:
        check_equal(segmenters["float32"](swapped), pipelines["float32"](frame))
    except AssertionError:
        pass
    else:
        raise AssertionError("the check does not notice other masks, those of swapped channels")
    works: dict[str, Work] = {
        **{f"ours_{name}": functools.partial(whole, one, frame) for name, one in segmenters.items()},
        **{f"monolith_{name}": functools.partial(one, frame) for name, one in pipelines.items()},
    }
    works["torch"] = works.pop("monolith_torch")
    turns = turns_of(works, rounds, warm_up=1, untimed=1)
    # Of the turns of one round, whose moments lie close together.
    faster = {
        f"{name}_than_{other}": statistics.median(np.divide(turns[other], turns[f"ours_{name}"]))
        for name in segmenters
        for other in (f"monolith_{name}", "torch")
    }
    return {
        "median_ms": {name: round(statistics.median(values), 1) for name, values in turns.items()},
        "times_as_fast": {name: round(value, 2) for name, value in faster.items()},
    }


def whole(segmenter: edgeblend.Segmenter, frame: Frame) -> np.ndarray:
    """Return masks as large as the frame."""
    return segmenter(frame).masks()


def check_equal(instances: edgeblend.Instances, plain: monolith.Masks, *, same_masks: bool = True) -> None:
    """Assert that both found the same; INT8 bases differ, so that their masks may."""
    assert len(instances) == len(plain.masks), f"{len(instances)} and {len(plain.masks)} detections"
    np.testing.assert_array_equal(instances.classes, plain.found.classes.numpy())
    np.testing.assert_allclose(instances.boxes, plain.found.boxes.numpy(), rtol=0, atol=1e-3)
    np.testing.assert_allclose(instances.scores, plain.found.scores.numpy(), rtol=0, atol=1e-5)
    if not same_masks:
        return
    np.testing.assert_allclose(instances.mask_probs, plain.probs.numpy(), rtol=0, atol=2e-3)
    masks = instances.masks()
    for index, other in enumerate(plain.masks.numpy()):
        differ = (masks[index] != other) & decided(instances, index)
        assert np.count_nonzero(differ) <= 0.001 * np.count_nonzero(masks[index] | other)


if __name__ == "__main__":
    main()
