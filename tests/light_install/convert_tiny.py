"""Convert the tiny model and keep what it finds: convert_tiny.py TARGET OUT.zip [OUT_INT8.zip]."""

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_model import CLASS_NAMES, write_tiny_model

import edgeblend


def keep_what_is_found(bundle: Path, photograph: bytes) -> None:
    """Write the picture and the results beside the bundle."""
    bundle.with_suffix(".jpg").write_bytes(photograph)
    with edgeblend.Segmenter.load(bundle) as segmenter:
        found = segmenter(edgeblend.read_image(bundle.with_suffix(".jpg")))
    np.savez(
        bundle.with_suffix(".npz"),
        boxes=found.boxes,
        scores=found.scores,
        classes=found.classes,
        mask_probs=found.mask_probs,
    )
    print(f"{bundle.name}: {found!r}")


target, out, *quantized = sys.argv[1:]
coffee = files("edgeblend.converters").joinpath("data/coffee.jpg").read_bytes()
with tempfile.TemporaryDirectory() as folder:
    model = write_tiny_model(Path(folder))
    edgeblend.convert(model.checkpoint, out, config=model.config, class_names=CLASS_NAMES, target=target)
keep_what_is_found(Path(out), coffee)
if quantized:
    picture = edgeblend.read_image(Path(out).with_suffix(".jpg"))
    parts = [picture[top : top + 200, left:] for top in (0, 90, 180) for left in (0, 150)]
    frames = [np.ascontiguousarray(part) for part in parts]
    quick = edgeblend.Recipe(name="quick", bias_correction="none")
    edgeblend.quantize(out, quantized[0], calibration=frames, recipe="int8" if target == "tflite" else quick)
    keep_what_is_found(Path(quantized[0]), coffee)
