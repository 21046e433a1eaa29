"""What each layer costs when it alone is quantized."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from edgeblend.arguments.callbacks import Say, callback
from edgeblend.arguments.checks import MOST, check_whole
from edgeblend.bundle import Bundle
from edgeblend.calibration.data.frames import Frames
from edgeblend.calibration.sampling.sample import CalibrationSet, sample_frames
from edgeblend.converters.opened import OpenGraph, open_network
from edgeblend.converters.quantize.feeds import feed_of
from edgeblend.converters.quantize.probe import DEFAULT_FRAMES, LayerSensitivity, Probe
from edgeblend.converters.quantize.recipe_files import load_recipe
from edgeblend.converters.quantize.request import PARTS, check_sampling, check_source, read_models
from edgeblend.converters.quantize.toolkits import load_toolkit
from edgeblend.converters.quantize.validation import check_pictures, open_validation
from edgeblend.errors import InputError
from edgeblend.manifest import Part
from edgeblend.processes.third_party_warnings import warnings_are_no_errors
from edgeblend.recipe import Recipe


@warnings_are_no_errors()
def measure_sensitivity(
    bundle: str | Path | Bundle,
    *,
    calibration: Frames | CalibrationSet,
    recipe: str | Path | Recipe = "int8",
    frames: int = DEFAULT_FRAMES,
    images: str | Path | None = None,
    annotations: str | Path | None = None,
    seed: int = 0,
    progress: Say | None = None,
    report: Say | None = None,
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
        progress: called with a few words before each layer; what it raises ends the work.
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
    say, note = callback("progress", progress), callback("report", report)
    check_whole("frames", frames, 1, MOST)
    check_sampling(calibration, seed=(seed, 0))
    check_pictures(images, annotations)
    if images is not None and annotations is None:
        raise InputError("pictures alone do not measure average precision: name their annotations, too")
    source = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    check_source(source)
    target = source.manifest.target
    formats = {part: graph.format for part, graph in source.manifest.graphs.items()}
    toolkit, recipe = load_toolkit(load_recipe(recipe, target), target, formats)
    models = read_models(source, recipe, toolkit)
    with ExitStack() as stack:
        reference = open_network(source, stack)
        say("choosing calibration frames")
        chosen = calibration
        if not isinstance(chosen, CalibrationSet):
            chosen = stack.enter_context(sample_frames(chosen, seed=seed))
        validation = None
        if annotations is not None:
            say("measuring the float bundle")
            validation = open_validation(
                reference, chosen, images=images, annotations=annotations, report=note, opened=stack
            )
        found: list[LayerSensitivity] = []
        for part in PARTS:

            def drop(graph: OpenGraph, part: Part = part) -> float:
                assert validation is not None
                return validation.drop({part: graph})[0]

            judge = None if validation is None else drop
            probe = Probe(part, toolkit, models[part], reference.open_graphs[part], judge)
            found += probe.measure(feed_of(part, chosen, reference), recipe, count=frames, progress=say)
    return sorted(found, key=lambda layer: layer.sqnr_db)
