"""What each layer costs when it alone is quantized."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from edgeblend.bundle import Bundle
from edgeblend.calibration.data.frames import Frames
from edgeblend.calibration.sampling.sample import CalibrationSet, sample_frames
from edgeblend.converters.opened import open_graphs
from edgeblend.converters.quantize.feeds import BasisFeed, DetectorFeed
from edgeblend.converters.quantize.probe import DEFAULT_FRAMES, LayerSensitivity, Probe
from edgeblend.converters.quantize.recipe_files import load_recipe
from edgeblend.converters.quantize.request import PARTS, check_sampling, check_source, read_models
from edgeblend.converters.quantize.search import open_validation
from edgeblend.converters.quantize.toolkits import load_toolkit
from edgeblend.errors import InputError
from edgeblend.recipe import Recipe


def measure_sensitivity(
    bundle: str | Path | Bundle,
    *,
    calibration: Frames | CalibrationSet,
    recipe: str | Path | Recipe = "int8",
    frames: int = DEFAULT_FRAMES,
    images: str | Path | None = None,
    annotations: str | Path | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda step: None,
    report: Callable[[str], None] = lambda note: None,
) -> list[LayerSensitivity]:
    """Return what each layer costs, the worst first.

    Args:
        bundle: in float32.
        calibration: as for :func:`edgeblend.quantize`; up to 300 frames give the ranges.
        recipe: how layers are quantized; those that it keeps in float are measured, too.
        frames: on how many calibration frames outputs are compared.
        images: the folder of the pictures that ``annotations`` lists.
        annotations: COCO file; measures the drop of average precision for each layer, too, which takes long.
        seed: decides which frames are taken.
        progress: called with a few words before each layer.
        report: called with each note on what of the annotations is not used.

    Raises:
        InputError: the frames, the recipe, the pictures or the bundle cannot be used.
        EngineError, ConversionError: see their messages.

    Example:
        >>> layers = edgeblend.measure_sensitivity("bundle", calibration="images")
        >>> sorted({layer.graph for layer in layers})
        ['basis', 'detector']
        >>> layers[0].sqnr_db <= layers[1].sqnr_db  # the worst first
        True
    """
    if frames < 1:
        raise InputError(f"expected at least 1 frame to compare outputs on, got {frames}")
    check_sampling(calibration, seed=(seed, 0))
    if images is not None and annotations is None:
        raise InputError("pictures alone do not measure average precision: name their annotations, too")
    source = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    check_source(source)
    toolkit, recipe = load_toolkit(load_recipe(recipe, source.manifest.target), source.manifest)
    models = read_models(source, recipe, toolkit)
    with ExitStack() as stack:
        reference = open_graphs(source, stack)
        progress("choosing calibration frames")
        chosen = calibration
        if not isinstance(chosen, CalibrationSet):
            chosen = stack.enter_context(sample_frames(chosen, seed=seed))
        validation = None
        if annotations is not None:
            progress("measuring the float bundle")
            validation = open_validation(
                source, reference, chosen, images=images, annotations=annotations, report=report
            )
        found: list[LayerSensitivity] = []
        for part in PARTS:
            items = (
                DetectorFeed(chosen, source.manifest)
                if part == "detector"
                else BasisFeed(chosen, source.manifest, reference["detector"])
            )
            probe = Probe(part, toolkit, models[part], reference, validation)
            found += probe.measure(items, recipe, count=frames, progress=progress)
    return sorted(found, key=lambda layer: layer.sqnr_db)
