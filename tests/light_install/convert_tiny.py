"""Convert the tiny model and keep what it finds: convert_tiny.py OUT.zip."""

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_model import CLASS_NAMES, write_tiny_model

import edgeblend

out = Path(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    model = write_tiny_model(Path(folder))
    edgeblend.convert(model.checkpoint, out, config=model.config, class_names=CLASS_NAMES)
with files("edgeblend.converters").joinpath("data/coffee.jpg").open("rb") as source:
    out.with_suffix(".jpg").write_bytes(source.read())
with edgeblend.Segmenter.load(out) as segmenter:
    found = segmenter(edgeblend.read_image(out.with_suffix(".jpg")))
np.savez(out.with_suffix(".npz"), boxes=found.boxes, scores=found.scores, mask_probs=found.mask_probs)
print(f"converted: {found!r}")
