"""Run bundles that were converted elsewhere, where there is no torch: run_tiny.py BUNDLE.zip..."""

import importlib.util
import sys
from pathlib import Path

import numpy as np

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.calibration.agreement import match_instances
from edgeblend.results import Instances


def check(path: Path) -> None:
    """Leave with a message unless the bundle finds what it found there."""
    bundle = Bundle.load(path)
    with edgeblend.Segmenter.load(bundle) as segmenter:
        found = segmenter(edgeblend.read_image(path.with_suffix(".jpg")))
        engine = segmenter.info.parts["detector"].engine
    kept = dict(np.load(path.with_suffix(".npz")))
    expected = Instances(
        **kept, class_names=found.class_names, mask_boxes=kept["boxes"], frame_size=found.frame_size
    )
    if not len(expected):
        sys.exit(f"{path.name}: nothing was detected, so nothing is shown")
    if bundle.graph("detector").precision == "int8":
        # Another version of an engine may round a few integers otherwise.
        pairs = match_instances(expected, found, min_box_iou=0.9, max_score_difference=0.05)
        if len(pairs) < 0.9 * max(len(expected), len(found)):
            sys.exit(f"{path.name}: {len(pairs)} of {len(expected)} and {len(found)} detections agree")
    else:
        for name in ("boxes", "scores", "classes", "mask_probs"):
            np.testing.assert_allclose(getattr(found, name), kept[name], rtol=0, atol=1e-3)
    print(f"{path.name} on {engine}: {found!r}")


present = [name for name in ("torch", "yaml", "onnx", "nncf") if importlib.util.find_spec(name)]
if present:
    sys.exit(f"not a light install: {', '.join(present)} can be imported")
for argument in sys.argv[1:]:
    check(Path(argument))
try:
    edgeblend.convert  # noqa: B018
except edgeblend.EngineError as error:
    print(f"converting is refused: {error}")
else:
    sys.exit("converting should need torch")
