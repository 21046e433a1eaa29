"""Run bundles that were converted elsewhere, where there is no torch: run_tiny.py BUNDLE.zip..."""

import importlib.util
import sys
from pathlib import Path

import numpy as np

import edgeblend
from edgeblend.bundle import Bundle
from edgeblend.calibration.evaluation.agreement import match_instances
from edgeblend.results import Instances


def agreeing(expected: Instances, found: Instances) -> float:
    """Return the share of detections that agree, roughly.

    Kernels of another version round integers otherwise, and weights that were never trained amplify it.
    """
    pairs = match_instances(expected, found, min_box_iou=0.7, max_score_difference=0.1)
    return len(pairs) / max(len(expected), len(found))


def check(path: Path) -> None:
    """Leave with a message unless the bundle finds what it found there."""
    bundle = Bundle.load(path)
    with edgeblend.Segmenter.load(bundle) as segmenter:
        picture = edgeblend.read_image(path.with_suffix(".jpg"))
        found, mirrored = segmenter(picture), segmenter(np.ascontiguousarray(picture[:, ::-1]))
        engine = segmenter.info.parts["detector"].engine
    kept = dict(np.load(path.with_suffix(".npz")))
    expected = Instances(
        **kept, class_names=found.class_names, mask_boxes=kept["boxes"], frame_size=found.frame_size
    )
    if not len(expected):
        sys.exit(f"{path.name}: nothing was detected, so nothing is shown")
    if bundle.graph("detector").precision == "int8":
        if (share := agreeing(expected, found)) < 0.75:
            sys.exit(f"{path.name}: {share:.0%} of {len(expected)} and {len(found)} detections agree")
        if (share := agreeing(expected, mirrored)) >= 0.5:
            sys.exit(f"{path.name}: this check cannot fail, {share:.0%} agree on a mirrored picture")
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
except edgeblend.MissingPackageError as error:
    print(f"converting is refused: {error}")
else:
    sys.exit("converting should need torch")
