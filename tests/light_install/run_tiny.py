"""Run a bundle that was converted elsewhere, where there is no torch: run_tiny.py BUNDLE.zip."""

import importlib.util
import sys
from pathlib import Path

import numpy as np

import edgeblend

bundle = Path(sys.argv[1])
present = [name for name in ("torch", "yaml", "onnx") if importlib.util.find_spec(name)]
if present:
    sys.exit(f"not a light install: {', '.join(present)} can be imported")

with edgeblend.Segmenter.load(bundle) as segmenter:
    found = segmenter(edgeblend.read_image(bundle.with_suffix(".jpg")))
expected = np.load(bundle.with_suffix(".npz"))
if not len(found):
    sys.exit("nothing was detected, so nothing was shown")
for name in expected.files:
    np.testing.assert_allclose(getattr(found, name), expected[name], rtol=0, atol=1e-3)

try:
    edgeblend.convert  # noqa: B018
except edgeblend.EngineError as error:
    print(f"converting is refused: {error}")
else:
    sys.exit("converting should need torch")
print(f"light install: {found!r}")
